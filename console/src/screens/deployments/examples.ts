import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import type { CodeChoices } from "./code-choices";
import type { Language } from "./languages";

/** An example as openapi-fetch gives it: it makes arrays of tuples. */
export type Example = Omit<components["schemas"]["ExampleOut"], "tokens"> & { tokens: string[][] };

/** The examples of a deployment in one language, and why others do not exist. */
export function useExamples(deploymentId: string, language: Language, choices: CodeChoices = {}) {
  return hooks.useQuery("get", "/node/deployments/{deployment_id}/examples/", {
    params: { path: { deployment_id: deploymentId }, query: { language, ...choices } },
  });
}
