/** What a new flow can begin with, other than a model that is here. */
export const NEW_FLOW_SOURCES = ["upload", "example", "blank", "import"] as const;
export type NewFlowSource = (typeof NEW_FLOW_SOURCES)[number];
