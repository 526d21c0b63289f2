/** The lists of runs: they share what they load. */
export { DeploymentRunsTab } from "./deployment-runs";
export { FlowRunsScreen } from "./flow-runs";
export { RunListScreen } from "./run-list";
