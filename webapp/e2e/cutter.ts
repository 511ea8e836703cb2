// A proxy to the server that can reset connections.

import { connect, createServer, type Socket } from "node:net";

export interface Cutter {
  url: string;
  cut(): void; // resets all open connections
  bytes(): number; // sent to the server
  open: boolean; // false: connections are refused, as without a network
  rate: number; // bytes per second to the server
  close(): void;
}

export async function cutterTo(server: string): Promise<Cutter> {
  const target = new URL(server);
  const sockets = new Set<Socket>();
  let bytes = 0;
  const listener = createServer((from) => {
    if (!cutter.open) return void from.destroy();
    const to = connect(Number(target.port), target.hostname);
    for (const socket of [from, to]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        from.destroy();
        to.destroy();
      });
    }
    from.on("data", (data: Buffer) => {
      bytes += data.length;
      if (!to.write(data)) from.pause();
      if (data.length < 4096) return;
      from.pause();
      setTimeout(() => from.resume(), (1000 * data.length) / cutter.rate);
    });
    to.on("drain", () => from.resume());
    to.pipe(from);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as { port: number };
  const cutter: Cutter = {
    url: `http://127.0.0.1:${port}`, open: true, rate: 1e9,
    cut: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    bytes: () => bytes,
    close() {
      cutter.cut();
      listener.close();
    },
  };
  return cutter;
}
