import { Link, useLocation, useParams } from "@tanstack/react-router";
import { hooks } from "../api/client";
import { shortId } from "../formats/formats";
import { navigationTexts } from "../strings/shell";
import styles from "./shell.module.css";

/** Where the page is: its area, and the object that it shows. */
export function Breadcrumbs() {
  const { pathname } = useLocation();
  const params = useParams({ strict: false });
  const flow = hooks.useQuery(
    "get",
    "/node/flows/{flow_id}/",
    { params: { path: { flow_id: params.flowId ?? "" } } },
    { enabled: params.flowId !== undefined },
  );
  const deployment = hooks.useQuery(
    "get",
    "/node/deployments/{deployment_id}/",
    { params: { path: { deployment_id: params.deploymentId ?? "" } } },
    { enabled: params.deploymentId !== undefined },
  );
  const server = hooks.useQuery(
    "get",
    "/node/inference-servers/{server_id}/",
    { params: { path: { server_id: params.serverId ?? "" } } },
    { enabled: params.serverId !== undefined },
  );
  const key = hooks.useQuery(
    "get",
    "/node/api-keys/{key_id}/",
    { params: { path: { key_id: params.keyId ?? "" } } },
    { enabled: params.keyId !== undefined },
  );
  const object =
    flow.data?.name ??
    deployment.data?.name ??
    (server.data ? navigationTexts.modelVersion(server.data.model, server.data.version) : undefined) ??
    key.data?.name ??
    params.deliveryId ??
    (params.runId ? shortId(params.runId) : undefined) ??
    (params.name && Number(params.version)
      ? navigationTexts.modelVersion(params.name, Number(params.version))
      : params.name);
  const area = AREAS.find(({ to }) => pathname.startsWith(to));
  return (
    <nav className={styles.breadcrumbs} aria-label={navigationTexts.breadcrumbs}>
      <ol>
        {area ? (
          <li>
            <Link to={"area" in area ? area.area : area.to}>{area.label}</Link>
          </li>
        ) : null}
        {object ? <li aria-current="page">{object}</li> : null}
      </ol>
    </nav>
  );
}

const AREAS = [
  { to: "/flows", label: navigationTexts.flows },
  { to: "/models", label: navigationTexts.models },
  { to: "/servers", area: "/models", label: navigationTexts.models },
  { to: "/deployments", label: navigationTexts.deployments },
  { to: "/runs", label: navigationTexts.runs },
  { to: "/usage", label: navigationTexts.usage },
  { to: "/system", label: navigationTexts.system },
  { to: "/webhooks", label: navigationTexts.webhooks },
  { to: "/settings/keys", label: navigationTexts.keys },
  { to: "/settings/profile", label: navigationTexts.profile },
  { to: "/settings/sessions", label: navigationTexts.sessions },
  { to: "/settings/users", label: navigationTexts.users },
  { to: "/settings/audit", label: navigationTexts.audit },
] as const;
