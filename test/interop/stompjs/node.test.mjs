// stock stomp.js in Node, over the ws package.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import * as stomp from '@stomp/stompjs';
import Plain from 'ws';
import { compression, subject } from './broker.mjs';
import { scenarios } from './scenarios.js';
import { World } from './world.js';

// With compression every message is compressed, as browsers do, and not only the long ones.
class WebSocket extends Plain {
  constructor(url, protocols, options) {
    super(url, protocols, { perMessageDeflate: compression && { threshold: 0 }, ...options });
  }
}

globalThis.WebSocket = WebSocket; // as stomp.js asks for in Node

const broker = await subject();
after(() => broker.stop());

for (const { name, run, needs = [] } of scenarios) {
  test(name, { timeout: 60_000 }, async t => {
    const missing = needs.filter(need => !broker.offers.includes(need));
    if (missing.length > 0) return t.skip(`needs ${missing}`);
    const world = new World({ ...broker, stomp, WebSocket });
    try {
      await run(world);
    } catch (error) {
      broker.complain(`the broker's last words, at "${name}":`);
      throw error;
    } finally {
      await world.end();
    }
  });
}

test('compression is agreed on when the broker has it on', { timeout: 20_000 }, async t => {
  if (!broker.offers.includes('gudok')) return t.skip('needs gudok');
  const socket = new WebSocket(broker.url, ['v12.stomp']);
  await once(socket, 'open');
  assert.equal(socket.extensions, compression ? 'permessage-deflate' : '');
  socket.terminate();
});

for (const [origin, want] of [
  ['http://evil.example', 403],
  ['http://127.0.0.1.evil.example', 403],
  ['null', 403],
  ['http://localhost:8000', 101],
  ['http://127.0.0.1:8000', 101],
  ['http://[::1]:8000', 101],
]) {
  test(`origin: a page from ${origin} is answered ${want}`, { timeout: 20_000 }, async t => {
    if (!broker.offers.includes('gudok')) return t.skip('needs gudok');
    const socket = new WebSocket(broker.url, ['v12.stomp'], { origin });
    const status = await Promise.race([
      once(socket, 'open').then(() => 101),
      once(socket, 'unexpected-response').then(([, response]) => response.statusCode),
    ]);
    socket.on('error', () => {});
    socket.terminate();
    assert.equal(status, want);
  });
}
