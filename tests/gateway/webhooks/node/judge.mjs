// Reads {secret, body, headers} from standard input; says "good", or why the library refuses it.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, body, headers } = JSON.parse(readFileSync(0, "utf-8"));
try {
  new Webhook(secret).verify(body, headers);
  process.stdout.write("good");
} catch (error) {
  process.stdout.write(error.message);
}
