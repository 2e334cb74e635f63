import Counter from './counter';
import flame from './flame.svg';

// Rendered on the server for each request: `/?name=Ada`.
export default async function Page({ searchParams }) {
  const { name = 'world' } = await searchParams;
  return (
    <main>
      <img src={flame.src} width="64" height="64" alt="" />
      <h1>Hello, {name}!</h1>
      <p>
        <Counter />
      </p>
      <p>
        <a href="/stream">A page that streams</a>, <a href="/cached">a page that is cached</a>
      </p>
    </main>
  );
}
