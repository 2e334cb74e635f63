// Greets whoever a request names: POST {"name": "Ada"}, or GET /Ada.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const name = request.method === "POST" ? (await request.json()).name : new URL(request.url).pathname.slice(1);
  console.log("greeting", name || "the world");
  return Response.json({ message: `Hello, ${name || "World"}!`, from: "JavaScript" });
}
