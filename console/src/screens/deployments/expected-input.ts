import { useQuery } from "@tanstack/react-query";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { isObject, type JsonObject, parseJson } from "../../formats/lossless-json";

type Deployment = Pick<components["schemas"]["DeploymentOut"], "id" | "version">;

const PATH = "/node/deployments/{deployment_id}/versions/{number}/";
/** What the documentation's samples send where a flow says nothing of its input. */
const UNKNOWN_INPUT: JsonObject = { param1: "value1" };

/** What the live version expects. */
export interface ExpectedInput {
  /** The flow's schema, or one that is derived from its models; null: there is none. */
  schema: JsonObject | null;
  example: JsonObject;
}

/** The input of an example call with exact numbers, the test data of the live version, and its schema. */
export function useExpectedInput({ id, version }: Deployment) {
  const params = { path: { deployment_id: id, number: version } };
  return useQuery({
    queryKey: ["get", PATH, { params }, "as text"] as const,
    // Another version goes live while a call is on its way, or an input is being typed.
    placeholderData: (before, query) =>
      query?.queryKey[2].params.path.deployment_id === id ? before : undefined,
    queryFn: async (): Promise<ExpectedInput> => {
      const { data } = await api.GET(PATH, { params, parseAs: "text" });
      const body = parseJson(data ?? "");
      const { input_schema: schema, input_example: example } = isObject(body) ? body : {};
      return {
        schema: isObject(schema) ? schema : null,
        example: isObject(example) ? example : isObject(schema) ? {} : UNKNOWN_INPUT,
      };
    },
  });
}
