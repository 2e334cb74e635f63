export const metadata = { title: 'Next.js on Hearth' };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body style={{ fontFamily: 'sans-serif', margin: '2rem auto', maxWidth: '40rem' }}>{children}</body>
    </html>
  );
}
