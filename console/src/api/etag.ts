/** An object with the entity tag of the state that it shows. */
export interface Tagged<Value> {
  value: Value;
  etag: string;
}

/** Return the body of an answer with its ETag, for the `If-Match` of a change. */
export function taggedOf<Value>({
  data,
  response,
}: {
  data?: Value | undefined;
  response: Response;
}): Tagged<Value> {
  if (data === undefined) throw new Error("an answer without a body");
  return { value: data, etag: response.headers.get("etag") ?? "" };
}
