/** Texts about the deployments of a flow. */
export const flowDeploymentTexts = {
  deployments: "Deployments",
  noDeployments: "No deployments yet. Create one to get a URL that runs this flow.",
  modelWarnings: (model: string) => `Not everything in the model ${model} is served`,
};
