// A small STOMP 1.2 client over WebSocket, for this page. Programs do better with @stomp/stompjs.

const encoder = new TextEncoder();
const escapes = { '\r': '\\r', '\n': '\\n', ':': '\\c', '\\': '\\\\' };
const unescapes = { r: '\r', n: '\n', c: ':', '\\': '\\' };
const escape = (s) => s.replace(/[\r\n:\\]/g, (c) => escapes[c]);
const unescape = (s) => s.replace(/\\(.)/g, (all, c) => unescapes[c] ?? all);

const silence = 3; // so many missed heart-beats end the connection
const beat = 10000; // milliseconds between them, as asked for

// encode writes a frame. Header values of CONNECT are not escaped (STOMP 1.2, Value Encoding).
function encode(command, headers, body = '') {
  const bytes = encoder.encode(body);
  const plain = command === 'CONNECT' ? (s) => s : escape;
  let head = `${command}\n`;
  for (const [name, value] of Object.entries(headers)) head += `${plain(name)}:${plain(String(value))}\n`;
  if (command === 'SEND') head += `content-length:${bytes.length}\n`;
  return `${head}\n${body}\0`;
}

// Parser makes frames of the bytes that arrive, however they are cut.
class Parser {
  #held = new Uint8Array(0);

  * feed(chunk) {
    const all = new Uint8Array(this.#held.length + chunk.length);
    all.set(this.#held);
    all.set(chunk, this.#held.length);
    let at = 0;
    for (;;) {
      while (all[at] === 10 || all[at] === 13) at++; // heart-beats
      const frame = this.#frame(all, at);
      if (!frame) break;
      at = frame.end;
      yield frame;
    }
    this.#held = all.slice(at);
  }

  // #frame reads the frame that begins at a place, or nothing if its end has not come.
  #frame(all, start) {
    let end = start;
    const lines = [];
    for (let from = start; ;) {
      const eol = all.indexOf(10, from);
      if (eol < 0) return null;
      const line = new TextDecoder().decode(all.subarray(from, eol)).replace(/\r$/, '');
      from = eol + 1;
      if (line === '') {
        end = from;
        break;
      }
      lines.push(line);
    }
    const headers = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      const name = unescape(line.slice(0, colon));
      headers[name] ??= unescape(line.slice(colon + 1)); // the first of repeated ones counts
    }
    const length = headers['content-length'];
    const nul = length === undefined ? all.indexOf(0, end) : end + Number(length);
    if (nul < 0 || nul >= all.length) return null;
    const body = new TextDecoder().decode(all.subarray(end, nul));
    return { command: lines[0], headers, body, end: nul + 1 };
  }
}

// Client is one connection; make another after it has closed. It calls onConnect(headers),
// onMessage({headers, body}), onReceipt(id), onError(text, body) and, once, onClose().
export class Client {
  #socket;
  #parser = new Parser();
  #heard = Date.now();
  #timer = 0;

  constructor(url, { login, passcode, host }, handlers) {
    this.handlers = handlers;
    this.#socket = new WebSocket(url, ['v12.stomp']);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => {
      // It promises no heart-beats: a browser holds back the timers of a page in the background.
      const headers = { 'accept-version': '1.2', host, 'heart-beat': `0,${beat}` };
      if (login) Object.assign(headers, { login, passcode });
      this.#write('CONNECT', headers);
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = () => this.#closed();
  }

  subscribe(id, destination, receipt) { this.#write('SUBSCRIBE', { id, destination, receipt }); }

  unsubscribe(id, receipt) { this.#write('UNSUBSCRIBE', { id, receipt }); }

  send(destination, body) { this.#write('SEND', { destination, 'content-type': 'text/plain' }, body); }

  #write(...frame) { this.#socket.send(encode(...frame)); }

  #receive(data) {
    this.#heard = Date.now();
    const bytes = typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data);
    for (const frame of this.#parser.feed(bytes)) this.#handle(frame);
  }

  #handle({ command, headers, body }) {
    switch (command) {
      case 'CONNECTED':
        this.#watch(headers['heart-beat'] ?? '0,0');
        return this.handlers.onConnect(headers);
      case 'MESSAGE': return this.handlers.onMessage({ headers, body });
      case 'RECEIPT': return this.handlers.onReceipt(headers['receipt-id']);
      case 'ERROR': return this.handlers.onError(headers.message ?? 'error', body);
      default: return undefined;
    }
  }

  #watch(offer) {
    const every = Math.max(Number(offer.split(',')[0]), beat);
    if (offer.startsWith('0')) return;
    this.#timer = setInterval(() => {
      if (Date.now() - this.#heard > silence * every) this.#closed();
    }, every);
  }

  #closed() {
    if (!this.#socket) return;
    clearInterval(this.#timer);
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
    this.handlers.onClose();
  }
}
