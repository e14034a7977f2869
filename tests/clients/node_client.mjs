// Node as a client: fetch (undici, HTTP/1.1) or node:http2, one large answer, many small ones, or a large upload. Exits 0 only if all of it is right.
import http2 from 'node:http2';

const [way, what, url, size, count] = [...process.argv.slice(2, 5), Number(process.argv[5]), Number(process.argv[6])];

function must(condition, text) {
  if (!condition) throw new Error(text);
}

async function fetchLarge() {
  const response = await fetch(`${url}/large.bin`);
  must(response.status === 200, response.status);
  let got = 0;
  for await (const piece of response.body) got += piece.length;
  must(got === size, `${got} bytes came`);
}

async function fetchMessages() {
  for (let i = 0; i < count; ++i) {
    const response = await fetch(`${url}/small`);
    must(response.status === 200 && await response.text() === 'small', `message ${i}: ${response.status}`);
  }
}

// One request on the session; resolves to its body's length and, if it is short, its text.
function call(session, headers, send) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: !send });
    let status = 0, length = 0, text = '';
    stream.on('response', h => { status = h[':status']; });
    stream.on('data', piece => { length += piece.length; if (length < 1000) text += piece; });
    stream.on('end', () => (status === 200 ? resolve({ length, text }) : reject(new Error(`status ${status}`))));
    stream.on('error', reject);
    if (send) send(stream);
  });
}

function upload(stream) {
  const piece = Buffer.alloc(1 << 16);
  let left = size;
  const more = () => {
    while (left > 0) {
      const n = Math.min(left, piece.length);
      left -= n;
      if (!stream.write(piece.subarray(0, n)) && left > 0) return void stream.once('drain', more);
    }
    stream.end();
  };
  more();
}

async function overHttp2() {
  const session = http2.connect(url);
  let goaway = '';
  session.on('goaway', code => { goaway = `GOAWAY ${code}`; });
  if (what === 'large') {
    const got = await call(session, { ':path': '/large.bin' });
    must(got.length === size, `${got.length} bytes came`);
  } else if (what === 'upload') {
    const got = await call(session, { ':path': '/go/upload', ':method': 'POST' }, upload);
    must(got.text === String(size), `the origin had ${got.text}`);
  } else {
    let left = count;
    const worker = async () => {
      while (left-- > 0) must((await call(session, { ':path': '/small' })).text === 'small', 'another message');
    };
    await Promise.all(Array.from({ length: 50 }, worker));
  }
  must(!goaway, goaway);
  session.close();
}

await (way === 'http2' ? overHttp2() : what === 'large' ? fetchLarge() : fetchMessages());
