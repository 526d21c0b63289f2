import type { components } from "../../api/schema";

export type Language = components["schemas"]["Language"];

/** The languages of example code, in the order of their tabs. */
export const LANGUAGES: readonly Language[] = [
  "curl",
  "python",
  "javascript",
  "typescript",
  "go",
  "httpie",
  "grpc_python",
];
