export default {
  // A folder with the server and only those modules that it uses: .next/standalone.
  output: 'standalone',
  // Pages that are made anew are kept in memory alone: the function's code is read-only.
  experimental: { isrFlushToDisk: false },
  // Images are served as they are, and what would scale them stays out of the package.
  images: { unoptimized: true },
  outputFileTracingExcludes: { '**': ['node_modules/sharp/**', 'node_modules/@img/**'] },
};
