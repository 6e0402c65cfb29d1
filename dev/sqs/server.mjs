// Serves fauxqs on loopback alone; its own command binds every address.
//
//   node server.mjs MODULE PORT
const [module, port] = process.argv.slice(2);
const { buildApp } = await import(module);
const app = buildApp({ logger: false });
await app.listen({ port: Number(port), host: "127.0.0.1" });
