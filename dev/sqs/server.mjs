// Serves fauxqs on loopback alone; its own command binds every address.
//
//   node server.mjs MODULE PORT FOLDER
import { Server } from "node:net";
import { DatabaseSync } from "node:sqlite";

const [module, port, dataDir] = process.argv.slice(2);
const listen = Server.prototype.listen;
Server.prototype.listen = function (options, ...rest) {
  return listen.call(this, { ...options, host: "127.0.0.1" }, ...rest);
};
// What it answered survives its own crash; that of the machine need not be waited for.
const exec = DatabaseSync.prototype.exec;
DatabaseSync.prototype.exec = function (sql) {
  exec.call(this, sql);
  if (sql.includes("journal_mode")) exec.call(this, "PRAGMA synchronous = OFF");
};
// A message that is shown again keeps its count: fauxqs 2.4 writes none, which its own table refuses.
const prepare = DatabaseSync.prototype.prepare;
DatabaseSync.prototype.prepare = function (sql) {
  return prepare.call(
    this,
    sql.replace(
      "approximate_receive_count = ?, approximate_first_receive_timestamp = ?",
      "approximate_receive_count = COALESCE(?, approximate_receive_count), " +
        "approximate_first_receive_timestamp = COALESCE(?, approximate_first_receive_timestamp)",
    ),
  );
};
const { startFauxqs } = await import(module);
const server = await startFauxqs({ port: Number(port), dataDir, logger: false });
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, async () => {
    await server.stop();
    process.exit(0);
  });
}
