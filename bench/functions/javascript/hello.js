// The same source for workerd and for componentize-js: both speak the fetch event.
addEventListener('fetch', (event) => event.respondWith(new Response('Hello, World!\n')));
