// stock stomp.js in headless Chromium, on a page from a server of the test's own: another origin than
// the broker's, so every scenario also proves that a page from loopback is let in by default.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Broker, compression, subject } from './broker.mjs';
import { scenarios } from './scenarios.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const stompjs = path.join(here, 'node_modules/@stomp/stompjs');
const types = { '.html': 'text/html', '.js': 'text/javascript', '.map': 'application/json' };

const broker = await subject();
let server, site, browser, page;
const strange = []; // what the pages complained about

async function serve(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  try {
    if (pathname === '/example.html') {
      response.writeHead(200, { 'content-type': 'text/html' }).end(await example());
      return;
    }
    if (request.method === 'POST') {
      const [, , action, signal] = pathname.split('/');
      const end = await broker.control(action, signal);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(end));
      return;
    }
    let file = path.join(here, pathname === '/' ? 'page.html' : pathname);
    if (pathname.startsWith('/stompjs/')) file = path.join(stompjs, pathname.slice('/stompjs/'.length));
    const body = await readFile(file);
    response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'text/plain' }).end(body);
  } catch (error) {
    response.writeHead(error.code === 'ENOENT' ? 404 : 500).end(String(error));
  }
}

// The README's page, told where this broker is and who may log in: the README's has its default port and
// no users.
async function example() {
  const login = JSON.stringify({ login: broker.login, passcode: broker.passcode });
  const html = await readFile(path.join(here, 'example.html'), 'utf8');
  return html
    .replace('ws://127.0.0.1:15674/ws', broker.url)
    .replace('brokerURL:', `connectHeaders: ${login}, brokerURL:`);
}

async function open(host = '127.0.0.1') {
  const opened = await browser.newPage();
  opened.on('pageerror', error => strange.push(String(error)));
  await opened.goto(`http://${host}:${site}/`);
  await opened.waitForFunction('window.ready');
  return opened;
}

const settings = (extra = {}) => ({
  url: broker.url,
  login: broker.login,
  passcode: broker.passcode,
  ...extra,
});

before(async () => {
  server = http.createServer(serve);
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  site = server.address().port;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    chromiumSandbox: false,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // Nothing but this machine, whatever the browser would like to ask on its own.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
    ],
  });
  page = await open();
});

after(async () => {
  await browser?.close();
  server?.close();
  await broker.stop();
});

function inBrowser(name, run) {
  test(name, { timeout: 60_000 }, async t => {
    strange.length = 0;
    try {
      await run(t);
    } catch (error) {
      broker.complain(`the broker's last words, at "${name}":`);
      throw error;
    }
    assert.deepEqual(strange, [], 'errors on the page');
  });
}

for (const { name, needs = [] } of scenarios) {
  inBrowser(name, async t => {
    const missing = needs.filter(need => !broker.offers.includes(need));
    if (missing.length > 0) return t.skip(`needs ${missing}`);
    await page.evaluate(([scenario, its]) => window.runScenario(scenario, its), [name, settings()]);
  });
}

inBrowser('page: compression is agreed on when the broker has it on', async t => {
  if (!broker.offers.includes('gudok')) return t.skip('needs gudok');
  const extensions = await page.evaluate(
    url =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(url, ['v12.stomp']);
        socket.onopen = () => {
          resolve(socket.extensions);
          socket.close();
        };
        socket.onerror = () => reject(new Error('WebSocket refused'));
      }),
    broker.url,
  );
  assert.match(extensions, compression ? /^permessage-deflate/ : /^$/);
});

inBrowser('page: the ESM build, on a page from localhost', async () => {
  const other = await open('localhost');
  const name = 'tutorial: publish and subscribe';
  await other.evaluate(([scenario, its]) => window.runScenario(scenario, its), [name, settings({ esm: true })]);
  await other.close();
});

inBrowser('page: closing a tab gives its unacknowledged message to the next', async () => {
  const take = async (its, destination) => {
    const world = window.makeWorld(its);
    const client = await world.connect();
    return new Promise(resolve => {
      client.subscribe(destination, m => resolve([m.body, m.headers.redelivered ?? 'false']), { ack: 'client' });
      if (its.first) client.publish({ destination, body: 'tab' });
    });
  };
  const destination = `/queue/tab-${Date.now()}`;
  const ask = (where, first) =>
    where.evaluate(`(${take})(${JSON.stringify(settings({ first }))}, ${JSON.stringify(destination)})`);
  const one = await open();
  assert.deepEqual(await ask(one, true), ['tab', 'false']);
  const two = await open();
  const again = ask(two, false);
  await one.close();
  assert.deepEqual(await again, ['tab', 'true']);
  await two.close();
});

inBrowser('page: the example of the README shows what it sent', async t => {
  if (!broker.offers.includes('gudok')) return t.skip('needs gudok');
  const html = await readFile(path.join(here, 'example.html'), 'utf8');
  const { version } = JSON.parse(await readFile(path.join(stompjs, 'package.json'), 'utf8'));
  const readme = await readFile(path.join(here, '../../../README.md'), 'utf8').catch(() => '');
  assert.ok(!readme.includes('```html') || readme.includes(html.trim()), 'README.md shows example.html as it is');

  const tab = await browser.newPage();
  tab.on('pageerror', error => strange.push(String(error)));
  const bundle = await readFile(path.join(stompjs, 'bundles/stomp.umd.min.js'), 'utf8');
  await tab.route(`https://cdn.jsdelivr.net/npm/@stomp/stompjs@${version}/bundles/stomp.umd.min.js`, route =>
    route.fulfill({ contentType: 'text/javascript', body: bundle }),
  );
  await tab.goto(`http://127.0.0.1:${site}/example.html`);
  await tab.waitForSelector('#state:text-is("connected")');
  await tab.fill('input', '안녕, <b>Gudok</b>');
  await tab.press('input', 'Enter');
  await tab.waitForSelector('li:text-is("안녕, <b>Gudok</b>")');
  await tab.close();
});

inBrowser("page: the broker's own page logs in, subscribes, sends, shows, and comes back after a restart", async t => {
  if (!broker.offers.includes('control')) return t.skip('needs control');
  const tab = await browser.newPage();
  tab.on('pageerror', error => strange.push(String(error)));
  tab.on('response', response => {
    if (response.status() >= 400) strange.push(`${response.status()} ${response.url()}`);
  });
  await tab.goto(broker.url.replace('ws:', 'http:').replace(/\/ws$/, '/'));
  assert.match(await tab.title(), /Gudok/);
  assert.equal(await tab.textContent('#url'), broker.url);
  assert.equal(await tab.isVisible('#figures'), false, 'nobody has logged in, and there are figures');
  assert.doesNotMatch(await tab.content(), /stomp:\/\//, 'nobody has logged in, and there is an address');

  await tab.fill('[name=login]', broker.login);
  await tab.fill('[name=passcode]', 'not c4n4ry this time');
  await tab.click('#login button');
  await tab.waitForSelector('#error:visible');
  await tab.fill('[name=passcode]', broker.passcode);
  await tab.click('#login button');
  await tab.waitForSelector('#state[data-state=connected]');
  assert.equal(await tab.isVisible('#error'), false, 'the error has gone');
  await tab.waitForSelector('#figures:visible');
  assert.match(await tab.textContent('#sessions'), /^[1-9]\d*$/);
  await tab.waitForSelector('#addresses code:has-text("stomp://")');

  const say = async text => {
    await tab.waitForSelector('#subscribe button:text-is("Unsubscribe")');
    await tab.fill('#send [name=body]', text);
    await tab.click('#send button');
    await tab.waitForSelector(`#messages td:text-is("${text}")`);
  };
  await say('안녕 <b>&amp;</b>');
  await broker.control('restart', 'SIGTERM');
  await say('again');
  await tab.close();
});

inBrowser("page: the broker's own page on the admin listener connects to the other", async t => {
  if (!broker.offers.includes('gudok')) return t.skip('needs gudok');
  const own = await Broker.start(undefined, 'admin: { listen: "127.0.0.1:0" }');
  const tab = await browser.newPage();
  tab.on('pageerror', error => strange.push(String(error)));
  try {
    assert.notEqual(new URL(own.page).host, new URL(own.url).host);
    await tab.goto(own.page);
    assert.equal(await tab.textContent('#url'), own.url);
    await tab.fill('[name=login]', broker.login);
    await tab.fill('[name=passcode]', broker.passcode);
    await tab.click('#login button');
    await tab.waitForSelector('#state[data-state=connected]');
    await tab.waitForSelector('#figures:visible');
    await tab.waitForSelector('#subscribe button:text-is("Unsubscribe")');
    await tab.fill('#send [name=body]', 'from next door');
    await tab.click('#send button');
    await tab.waitForSelector('#messages td:text-is("from next door")');
  } finally {
    await tab.close();
    await own.stop();
  }
});
