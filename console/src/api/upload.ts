import { renewsToken } from "./client";
import { connectionLost, GatewayAway } from "./connection";
import { problemOf } from "./problem";
import type { components } from "./schema";
import { sessionAgain, useSession } from "./session";

type Manifest = components["schemas"]["ManifestOut"];

interface Upload {
  file: File;
  name: string;
  /** Of a new model; without it, private. */
  visibility?: components["schemas"]["Visibility"];
  /** Called with the bytes that have been sent. */
  onProgress: (sent: number) => void;
  signal: AbortSignal;
}

/** Publish a model version from a file. By XMLHttpRequest, because fetch tells nothing of its progress. */
export async function uploadModel(upload: Upload): Promise<Manifest> {
  let response = await post(upload);
  if (response.status === 401) {
    await sessionAgain();
    response = await post(upload);
  } else if (await renewsToken(response)) {
    response = await post(upload);
  }
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as Manifest;
}

function post({ file, name, visibility, onProgress, signal }: Upload): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ name, ...(visibility ? { visibility } : {}) });
    request.open("POST", `/node/models/?${query}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-CSRF-Token", useSession.getState().session?.csrf_token ?? "");
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => resolve(asResponse(request)));
    request.addEventListener("error", () => {
      connectionLost();
      reject(new GatewayAway());
    });
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

function asResponse(request: XMLHttpRequest): Response {
  const headers = new Headers();
  for (const name of ["retry-after", "x-request-id"]) {
    const value = request.getResponseHeader(name);
    if (value !== null) headers.set(name, value);
  }
  return new Response(request.responseText, {
    status: request.status,
    statusText: request.statusText,
    headers,
  });
}
