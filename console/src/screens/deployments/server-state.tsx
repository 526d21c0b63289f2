import { useMutation } from "@tanstack/react-query";
import { hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import { Button } from "../../ui/button";
import { ErrorNotice } from "../../ui/notice";
import { type State, Status } from "../../ui/status";
import { isServerChanging } from "../models/summaries";
import { startServerOf } from "./deploy";

type Pin = components["schemas"]["PinnedModel"];
type Server = components["schemas"]["ServerOut"];
type ServerPage = components["schemas"]["ServerPage"];

const CHANGING_MILLISECONDS = 1000;
const SETTLED_MILLISECONDS = 10_000;
const LIMIT = 200;
const STATES: Record<Server["state"], State> = {
  ready: "ready",
  booting: "booting",
  stopped: "stopped",
  failed: "failed",
  unresponsive: "failed",
  draining: "draining",
};

interface ServerStateProps {
  pin: Pin;
  deploymentId: string;
}

/** The state of a model's inference server, and a button where none is to run. */
export function ServerState({ pin, deploymentId }: ServerStateProps) {
  const polling = usePolling<ServerPage>((page) => {
    const server = find(page?.items, pin);
    return server && isServerChanging(server) ? CHANGING_MILLISECONDS : SETTLED_MILLISECONDS;
  });
  const servers = hooks.useQuery(
    "get",
    "/node/inference-servers/",
    { params: { query: { limit: LIMIT } } },
    { refetchInterval: polling },
  );
  const start = useMutation({
    mutationFn: () => startServerOf(deploymentId),
    onSuccess: () => servers.refetch(),
  });
  if (!servers.data) return null;
  const server = find(servers.data.items, pin);
  if (!server && servers.data.next_cursor) return null; // it may be among those that are not listed
  const isOff = !server || server.desired === "stopped";
  return (
    <>
      {deploymentTexts.deployments.serverOf(pin.model, pin.version)} <ShownState server={server} />
      {isOff ? (
        <Button
          disabled={start.isPending}
          onClick={() => start.mutate()}
          title={deploymentTexts.deployments.serverStopped}
        >
          {deploymentTexts.deployments.startServer}
        </Button>
      ) : null}
      {start.error ? <ErrorNotice error={start.error} /> : null}
    </>
  );
}

function ShownState({ server }: { server: Server | undefined }) {
  if (!server) return <Status state="stopped">{deploymentTexts.deployments.noServer}</Status>;
  if (server.desired === "asleep")
    return <Status state="asleep">{deploymentTexts.deployments.serverStates["asleep"]}</Status>;
  const word = deploymentTexts.deployments.serverStates[server.state] ?? server.state;
  return (
    <span title={server.reason ?? undefined}>
      <Status state={STATES[server.state]}>
        {server.phase ? deploymentTexts.deployments.phase(word, server.phase) : word}
      </Status>
    </span>
  );
}

function find(servers: readonly Server[] | undefined, { model, version }: Pin): Server | undefined {
  return servers?.find((server) => server.model === model && server.version === version);
}
