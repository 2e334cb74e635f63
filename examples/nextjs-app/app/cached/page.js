// Made when the app is built; a visit to one older than a second has it made anew for those who come after.
export const revalidate = 1;

export default function Page() {
  return (
    <main>
      <h1>A cached page</h1>
      <p>
        Made at <time>{new Date().toISOString()}</time>.
      </p>
    </main>
  );
}
