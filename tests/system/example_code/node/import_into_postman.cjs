// Prints what Postman makes of the cURL command on stdin.
const { readFileSync } = require("node:fs");
const { convert } = require("curl-to-postmanv2");

convert({ type: "string", data: readFileSync(0, "utf8") }, (error, result) => {
  if (error || !result.result) throw new Error(JSON.stringify(error ?? result));
  console.log(JSON.stringify(result.output[0].data));
});
