// A small HTTP server that works well with reconcile: it listens on $PORT on loopback, answers /ping when it can serve,
// and on SIGTERM lets open requests end.
'use strict';
const http = require('node:http');
const { version } = require('./package.json');

const server = http.createServer((request, response) => {
  if (request.url === '/ping') return response.end('pong');
  response.end(`${process.env.GREETING || 'Hello'} from node ${version}\n`);
});

server.listen(Number(process.env.PORT), '127.0.0.1', () => {
  console.log(`hello ${version} listens on ${process.env.PORT}`);
});

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
