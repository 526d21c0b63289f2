import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { loadSession } from "./api/client";
import { useSession } from "./api/session";
import { auditFilters } from "./screens/audit/filters";
import { type CodeChoices, readCodeChoices } from "./screens/deployments/code-choices";
import { readDeploymentSearch } from "./screens/deployments/deployment-search";
import { LANGUAGES, type Language } from "./screens/deployments/languages";
import { readFlowSearch } from "./screens/flows/flow-search";
import { NEW_FLOW_SOURCES, type NewFlowSource } from "./screens/flows/new-flow-sources";
import { readRunSearch } from "./screens/runs/run-search";
import { type Group, groupOf } from "./screens/usage/groups";
import { type Range, rangeOf } from "./screens/usage/range";
import { deliveryFilters } from "./screens/webhooks/filters";
import { NotFound } from "./shell/not-found";
import { isOwnPath } from "./shell/own-path";
import { RouteError } from "./shell/route-error";

const BASE = "/console";

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: (search: Record<string, unknown>): { next?: string } =>
    isOwnPath(search["next"]) ? { next: search["next"] } : {},
  component: lazyRouteComponent(() => import("./screens/account/login"), "LoginScreen"),
});
const setup = createRoute({
  getParentRoute: () => root,
  path: "/setup",
  component: lazyRouteComponent(() => import("./screens/account/setup"), "SetupScreen"),
});

/** Everything that needs a session, within the navigation. */
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  beforeLoad: async ({ location }) => {
    if (useSession.getState().session ?? (await loadSession())) return;
    // The fragment, which may hold an input, stays one: it is sent nowhere.
    throw redirect({
      to: "/login",
      search: { next: location.pathname + location.searchStr },
      hash: location.hash,
    });
  },
  component: lazyRouteComponent(() => import("./shell/shell"), "Shell"),
});
const home = createRoute({
  getParentRoute: () => app,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/flows", replace: true });
  },
});
const welcome = createRoute({
  getParentRoute: () => app,
  path: "/welcome",
  component: lazyRouteComponent(() => import("./screens/welcome/welcome"), "WelcomeScreen"),
});
const flows = createRoute({
  getParentRoute: () => app,
  path: "/flows",
  validateSearch: readFlowSearch,
  component: lazyRouteComponent(() => import("./screens/flows/flow-list"), "FlowListScreen"),
});
const newFlow = createRoute({
  getParentRoute: () => flows,
  path: "new",
  validateSearch: (search: Record<string, unknown>): { model?: string; from?: NewFlowSource } => {
    const from = NEW_FLOW_SOURCES.find((one) => one === search["from"]);
    return {
      ...(typeof search["model"] === "string" ? { model: search["model"] } : {}),
      ...(from ? { from } : {}),
    };
  },
  component: lazyRouteComponent(() => import("./screens/flows/new-flow"), "NewFlowDialog"),
});
const flow = createRoute({
  getParentRoute: () => app,
  path: "/flows/$flowId",
});
const flowHome = createRoute({
  getParentRoute: () => flow,
  path: "/",
  beforeLoad: ({ params }) => {
    throw redirect({ to: "/flows/$flowId/edit", params, replace: true });
  },
});
const editFlow = createRoute({
  getParentRoute: () => flow,
  path: "edit",
  validateSearch: (search: Record<string, unknown>): { node?: string; run?: string } => ({
    ...(typeof search["node"] === "string" ? { node: search["node"] } : {}),
    ...(typeof search["run"] === "string" && search["run"] ? { run: search["run"] } : {}),
  }),
  component: lazyRouteComponent(() => import("./screens/editor/editor"), "EditorScreen"),
});
const flowHistory = createRoute({
  getParentRoute: () => flow,
  path: "history",
  validateSearch: (search: Record<string, unknown>): { revision?: number } => {
    const revision = Number(search["revision"]);
    return Number.isSafeInteger(revision) && revision > 0 ? { revision } : {};
  },
  component: lazyRouteComponent(() => import("./screens/history/history"), "HistoryScreen"),
});
const deployFlow = createRoute({
  getParentRoute: () => flow,
  path: "deploy",
  component: lazyRouteComponent(() => import("./screens/deployments/rocket"), "RocketScreen"),
});
const flowRuns = createRoute({
  getParentRoute: () => flow,
  path: "runs",
  validateSearch: readRunSearch,
  component: lazyRouteComponent(() => import("./screens/runs/screens"), "FlowRunsScreen"),
});
const newDeployment = createRoute({
  getParentRoute: () => deployFlow,
  path: "new",
  validateSearch: (search: Record<string, unknown>): { preset?: string } =>
    typeof search["preset"] === "string" ? { preset: search["preset"] } : {},
  component: lazyRouteComponent(() => import("./screens/deployments/new-deployment"), "NewDeploymentDialog"),
});
const models = createRoute({
  getParentRoute: () => app,
  path: "/models",
  validateSearch: (search: Record<string, unknown>): { q?: string } =>
    typeof search["q"] === "string" && search["q"] ? { q: search["q"] } : {},
  component: lazyRouteComponent(() => import("./screens/models/model-list"), "ModelListScreen"),
});
const uploadModel = createRoute({
  getParentRoute: () => models,
  path: "upload",
  component: lazyRouteComponent(() => import("./screens/models/upload-model"), "UploadModelDialog"),
});
const modelVersion = createRoute({
  getParentRoute: () => app,
  path: "/models/$name/versions/$version",
  validateSearch: (search: Record<string, unknown>): { tab?: "graph" | "try" } =>
    search["tab"] === "graph" || search["tab"] === "try" ? { tab: search["tab"] } : {},
  component: lazyRouteComponent(() => import("./screens/models/model-version"), "ModelVersionScreen"),
});
const server = createRoute({
  getParentRoute: () => app,
  path: "/servers/$serverId",
  component: lazyRouteComponent(() => import("./screens/servers/server"), "ServerScreen"),
});
const system = createRoute({
  getParentRoute: () => app,
  path: "/system",
  component: lazyRouteComponent(() => import("./screens/system/system"), "SystemScreen"),
});
const deployments = createRoute({
  getParentRoute: () => app,
  path: "/deployments",
  validateSearch: readDeploymentSearch,
  component: lazyRouteComponent(
    () => import("./screens/deployments/deployment-list"),
    "DeploymentListScreen",
  ),
});
const deployment = createRoute({
  getParentRoute: () => app,
  path: "/deployments/$deploymentId",
  component: lazyRouteComponent(() => import("./screens/deployments/deployment"), "DeploymentScreen"),
});
const deploymentHome = createRoute({
  getParentRoute: () => deployment,
  path: "/",
  beforeLoad: ({ params }) => {
    throw redirect({ to: "/deployments/$deploymentId/code", params, replace: true });
  },
});
const code = createRoute({
  getParentRoute: () => deployment,
  path: "code",
  validateSearch: (
    search: Record<string, unknown>,
  ): { language?: Language; variant?: string; data?: "tried" } & CodeChoices => {
    const language = LANGUAGES.find((one) => one === search["language"]);
    const variant = search["variant"];
    return {
      ...(language ? { language } : {}),
      ...(typeof variant === "string" ? { variant } : {}),
      ...(search["data"] === "tried" ? { data: "tried" } : {}),
      ...readCodeChoices(search),
    };
  },
  component: lazyRouteComponent(() => import("./screens/deployments/code"), "CodeTab"),
});
const tryIt = createRoute({
  getParentRoute: () => deployment,
  path: "try",
  component: lazyRouteComponent(() => import("./screens/deployments/try-it"), "TryItTab"),
});
const deploymentRuns = createRoute({
  getParentRoute: () => deployment,
  path: "runs",
  validateSearch: readRunSearch,
  component: lazyRouteComponent(() => import("./screens/runs/screens"), "DeploymentRunsTab"),
});
const runs = createRoute({
  getParentRoute: () => app,
  path: "/runs",
  validateSearch: readRunSearch,
  component: lazyRouteComponent(() => import("./screens/runs/screens"), "RunListScreen"),
});
const run = createRoute({
  getParentRoute: () => app,
  path: "/runs/$runId",
  validateSearch: (search: Record<string, unknown>): { span?: string } =>
    typeof search["span"] === "string" && search["span"] ? { span: search["span"] } : {},
  component: lazyRouteComponent(() => import("./screens/runs/run"), "RunScreen"),
});
const deploymentUsage = createRoute({
  getParentRoute: () => deployment,
  path: "usage",
  validateSearch: (search: Record<string, unknown>): { range?: Range } => {
    const range = rangeOf(search["range"]);
    return range ? { range } : {};
  },
  component: lazyRouteComponent(() => import("./screens/usage/deployment-usage"), "DeploymentUsageTab"),
});
const usage = createRoute({
  getParentRoute: () => app,
  path: "/usage",
  validateSearch: (search: Record<string, unknown>): { by?: Group; range?: Range } => {
    const by = groupOf(search["by"]);
    const range = rangeOf(search["range"]);
    return { ...(by ? { by } : {}), ...(range ? { range } : {}) };
  },
  component: lazyRouteComponent(() => import("./screens/usage/usage"), "UsageScreen"),
});
const versions = createRoute({
  getParentRoute: () => deployment,
  path: "versions",
  component: lazyRouteComponent(() => import("./screens/deployments/versions"), "VersionsTab"),
});
const version = createRoute({
  getParentRoute: () => deployment,
  path: "versions/$number",
  component: lazyRouteComponent(() => import("./screens/deployments/version"), "VersionScreen"),
});
const compare = createRoute({
  getParentRoute: () => deployment,
  path: "compare",
  validateSearch: (search: Record<string, unknown>): { before?: string; after?: string } => ({
    ...side("before", search),
    ...side("after", search),
  }),
  component: lazyRouteComponent(() => import("./screens/deployments/compare"), "CompareScreen"),
});
const redeploy = createRoute({
  getParentRoute: () => deployment,
  path: "redeploy",
  component: lazyRouteComponent(() => import("./screens/deployments/redeploy"), "RedeployDialog"),
});
const newRollout = createRoute({
  getParentRoute: () => deployment,
  path: "rollout",
  component: lazyRouteComponent(() => import("./screens/rollouts/new-rollout"), "NewRolloutDialog"),
});
const deploymentSettings = createRoute({
  getParentRoute: () => deployment,
  path: "settings",
  component: lazyRouteComponent(() => import("./screens/deployments/settings"), "SettingsTab"),
});
const deploymentWebhook = createRoute({
  getParentRoute: () => deployment,
  path: "webhook",
  component: lazyRouteComponent(() => import("./screens/deployments/webhook"), "WebhookTab"),
});
const keys = createRoute({
  getParentRoute: () => app,
  path: "/settings/keys",
  component: lazyRouteComponent(() => import("./screens/keys/screens"), "KeyListScreen"),
});

const newKey = createRoute({
  getParentRoute: () => keys,
  path: "new",
  component: lazyRouteComponent(() => import("./screens/keys/screens"), "NewKeyDialog"),
});
const key = createRoute({
  getParentRoute: () => app,
  path: "/settings/keys/$keyId",
  component: lazyRouteComponent(() => import("./screens/keys/screens"), "KeyScreen"),
});
const webhooks = createRoute({
  getParentRoute: () => app,
  path: "/webhooks",
  component: lazyRouteComponent(() => import("./screens/webhooks/screens"), "WebhooksScreen"),
});
const deliveries = createRoute({
  getParentRoute: () => webhooks,
  path: "/",
  validateSearch: deliveryFilters,
  component: lazyRouteComponent(() => import("./screens/webhooks/screens"), "DeliveryList"),
});
const delivery = createRoute({
  getParentRoute: () => webhooks,
  path: "deliveries/$deliveryId",
  component: lazyRouteComponent(() => import("./screens/webhooks/screens"), "DeliveryDetails"),
});
const endpoints = createRoute({
  getParentRoute: () => webhooks,
  path: "endpoints",
  component: lazyRouteComponent(() => import("./screens/webhooks/screens"), "EndpointList"),
});
const signatureCheck = createRoute({
  getParentRoute: () => webhooks,
  path: "check",
  component: lazyRouteComponent(() => import("./screens/webhooks/screens"), "SignatureCheck"),
});
const invite = createRoute({
  getParentRoute: () => root,
  path: "/invite",
  component: lazyRouteComponent(() => import("./screens/account/invite"), "InviteScreen"),
});
const profile = createRoute({
  getParentRoute: () => app,
  path: "/settings/profile",
  component: lazyRouteComponent(() => import("./screens/settings"), "ProfileScreen"),
});
const sessions = createRoute({
  getParentRoute: () => app,
  path: "/settings/sessions",
  component: lazyRouteComponent(() => import("./screens/settings"), "SessionListScreen"),
});
const users = createRoute({
  getParentRoute: () => app,
  path: "/settings/users",
  component: lazyRouteComponent(() => import("./screens/settings"), "UserListScreen"),
});
const audit = createRoute({
  getParentRoute: () => app,
  path: "/settings/audit",
  validateSearch: auditFilters,
  component: lazyRouteComponent(() => import("./screens/settings"), "AuditLogScreen"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    login,
    setup,
    invite,
    app.addChildren([
      home,
      welcome,
      flows.addChildren([newFlow]),
      flow.addChildren([flowHome, editFlow, deployFlow.addChildren([newDeployment]), flowRuns, flowHistory]),
      models.addChildren([uploadModel]),
      modelVersion,
      server,
      system,
      deployments,
      deployment.addChildren([
        deploymentHome,
        code,
        tryIt,
        deploymentRuns,
        deploymentUsage,
        versions,
        version,
        compare,
        redeploy,
        newRollout,
        deploymentSettings,
        deploymentWebhook,
      ]),
      runs,
      run,
      usage,
      keys.addChildren([newKey]),
      key,
      webhooks.addChildren([deliveries, delivery, endpoints, signatureCheck]),
      profile,
      sessions,
      users,
      audit,
    ]),
  ]),
  basepath: BASE,
  defaultErrorComponent: RouteError,
  defaultPreload: "intent",
});

/** One side of a comparison: a version's number, `live` or `draft`. Numbers arrive as such. */
function side<Name extends string>(
  name: Name,
  search: Record<string, unknown>,
): Partial<Record<Name, string>> {
  const value = String(search[name] ?? "");
  return /^(\d{1,9}|live|draft)$/.test(value) ? ({ [name]: value } as Record<Name, string>) : {};
}

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
