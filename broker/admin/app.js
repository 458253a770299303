import { Client } from './client.js';

const $ = (id) => document.getElementById(id);
const { path, websocket: elsewhere } = document.body.dataset;
const url = elsewhere ?? `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`;
const login = $('login');
const subscribe = $('subscribe');
const send = $('send');
const maxRows = 200;

let client = null;
let subscribed = null; // the destination, once the broker has said so
let number = 0; // of the last subscription
let tries = 0; // to connect, since it last worked
let pending = null; // what to do once connected
let refused = false; // by the broker: trying again would not help

$('url').textContent = url;
$('snippet-url').textContent = url;

function state(name, text) {
  $('state').dataset.state = name;
  $('state').textContent = text;
  for (const button of [subscribe.querySelector('button'), send.querySelector('button')]) {
    button.disabled = name !== 'connected';
  }
}

function fault(text) {
  $('error').textContent = text;
  $('error').hidden = !text;
}

function connect() {
  refused = false;
  state('connecting', 'connecting …');
  const { value: name } = login.elements.login;
  const { value: passcode } = login.elements.passcode;
  client = new Client(url, { login: name, passcode, host: location.hostname }, {
    onConnect(headers) {
      tries = 0;
      fault('');
      login.hidden = true;
      const as = headers['user-name'];
      state('connected', as ? `connected as ${as}` : 'connected');
      if ($('figures').hidden) figures(name, passcode);
      start();
      pending?.();
      pending = null;
    },
    onMessage: show,
    onReceipt(id) {
      const [what, of] = id.split('-');
      if (Number(of) !== number) return;
      subscribed = what === 'subscribe' ? subscribe.elements.destination.value : null;
      subscribe.querySelector('button').textContent = subscribed ? 'Unsubscribe' : 'Subscribe';
      subscribe.elements.destination.readOnly = Boolean(subscribed);
    },
    onError(text, body) {
      refused = true;
      fault(body.startsWith(text) ? body : `${text}\n${body}`.trim());
      if (/credentials|login/.test(text)) login.hidden = false;
    },
    onClose() {
      client = null;
      subscribed = null;
      subscribe.querySelector('button').textContent = 'Subscribe';
      subscribe.elements.destination.readOnly = false;
      again();
    },
  });
}

// figures shows what the page could not have in it before somebody logged in, if he may see it.
async function figures(name, passcode) {
  const token = !name || passcode.split('.').length === 3;
  const utf8 = String.fromCharCode(...new TextEncoder().encode(`${name}:${passcode}`));
  const options = { cache: 'no-store', credentials: 'omit' }; // the browser is not to ask for a login
  if (passcode) options.headers = { Authorization: token ? `Bearer ${passcode}` : `Basic ${btoa(utf8)}` };
  const answer = await fetch('api/status', options).catch(() => null);
  if (!answer?.ok) return;
  const status = await answer.json();
  for (const id of ['version', 'sessions', 'topics', 'queues', 'received', 'delivered', 'uptime', 'go', 'store']) {
    $(id).textContent = status[id];
  }
  for (const { name: what, url: where } of status.addresses) {
    const row = document.createElement('div');
    row.append(document.createElement('dt'), document.createElement('dd'));
    row.firstChild.textContent = what;
    row.lastChild.append(document.createElement('code'));
    row.lastChild.firstChild.textContent = where;
    $('addresses').append(row);
  }
  $('figures').hidden = false;
}

// again connects after a while, a longer one each time; after an ERROR only once a person has
// changed something.
function again() {
  if (refused) {
    state('closed', 'the broker closed the connection');
    subscribe.querySelector('button').disabled = !login.hidden;
    send.querySelector('button').disabled = !login.hidden;
    return;
  }
  const seconds = Math.min(2 ** tries++, 15);
  state('closed', `not connected, next try in ${seconds} s`);
  setTimeout(connect, seconds * 1000);
}

function start() {
  number += 1;
  client.subscribe(`s${number}`, subscribe.elements.destination.value, `subscribe-${number}`);
}

function show({ headers, body }) {
  $('empty').hidden = true;
  const row = $('messages').insertRow(0);
  for (const text of [new Date().toLocaleTimeString(), headers.destination, body]) {
    row.insertCell().textContent = text;
  }
  while ($('messages').rows.length > maxRows) $('messages').deleteRow(-1);
}

subscribe.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!client) connect(); // which subscribes
  else if (subscribed) client.unsubscribe(`s${number}`, `unsubscribe-${number}`);
  else start();
});

send.addEventListener('submit', (event) => {
  event.preventDefault();
  const say = () => client.send(send.elements.destination.value, send.elements.body.value);
  if (client) say();
  else {
    pending = say;
    connect();
  }
  send.elements.body.select();
});

login.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!client) connect();
});

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const source = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = 'Copied';
    } catch { // no secure context: select it for the keyboard
      getSelection().selectAllChildren(source);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
}

if (document.body.dataset.login === 'true') {
  login.hidden = false;
  state('closed', 'log in to connect');
} else {
  connect();
}
