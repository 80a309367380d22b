import { defineConfig } from 'vite';

const service = process.env['STREAMSERVICE_URL'] ?? 'http://127.0.0.1:5080';

export default defineConfig({
  // Relative addresses: the dashboard also works behind a proxy that serves it under a path.
  base: './',
  build: {
    outDir: '../StreamService/wwwroot',
    emptyOutDir: true,
    target: 'es2022',
    // Every asset is a file of its own: a Content-Security-Policy of 'self' is enough.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npm run dev` shows the sources against a service that runs elsewhere.
  server: {
    proxy: {
      '/hubs': { target: service, ws: true },
      ...Object.fromEntries(['/session', '/hosts', '/domains', '/streams', '/images', '/migrations', '/budgets'].map((path) => [path, service])),
    },
  },
});
