import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Check, Circle, CircleDot, Play, Square } from "lucide-react";
import { api, hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";
import { bytes, count, duration } from "../../formats/formats";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { modelTexts } from "../../strings/models";
import { serverTexts } from "../../strings/servers";
import { navigationTexts } from "../../strings/shell";
import { Button, GuardedButton } from "../../ui/button";
import { Id } from "../../ui/copy";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Page, Section } from "../../ui/page";
import { Table } from "../../ui/table";
import { useManages } from "../models/manages";
import { isServerChanging } from "../models/summaries";
import { bootTime, isLate, ServerStatus, useBootSeconds } from "./boot";
import { ServerLog } from "./server-log";
import { ServerSettings } from "./server-settings";
import styles from "./servers.module.css";

export type Server = components["schemas"]["ServerOut"];
type Process = components["schemas"]["ReplicaOut"];

const route = getRouteApi("/app/servers/$serverId");
const CHANGING_MILLISECONDS = 500;
const SETTLED_MILLISECONDS = 5000;
const STEPS = ["spawning", "loading", "warming", "ready"] as const;

export function ServerScreen() {
  const { serverId } = route.useParams();
  const polling = usePolling<Server>((known) =>
    known && isServerChanging(known) ? CHANGING_MILLISECONDS : SETTLED_MILLISECONDS,
  );
  const server = hooks.useQuery(
    "get",
    "/node/inference-servers/{server_id}/",
    { params: { path: { server_id: serverId } } },
    { refetchInterval: polling },
  );
  return <Loaded query={server}>{(loaded) => <ServerPage key={serverId} server={loaded} />}</Loaded>;
}

function ServerPage({ server }: { server: Server }) {
  const { id, model, version } = server;
  const manages = useManages(model);
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: (verb: "start" | "stop") =>
      api.POST(`/node/inference-servers/{server_id}/${verb}/`, { params: { path: { server_id: id } } }),
    onSuccess: () => queries.invalidateQueries(),
  });
  const isOn = server.desired === "running" && server.state !== "failed";
  return (
    <Page
      title={navigationTexts.modelVersion(model, version)}
      area={serverTexts.servers.title}
      facts={
        <>
          <ServerStatus server={server} />
          <Link to="/models/$name/versions/$version" params={{ name: model, version: String(version) }}>
            {modelTexts.uploadModel.open}
          </Link>
          <Id id={id} />
        </>
      }
      actions={
        <>
          {server.desired === "stopped" ? null : (
            <GuardedButton
              reason={manages ? null : modelTexts.modelVersion.notYours}
              disabled={change.isPending}
              onClick={() => change.mutate("stop")}
            >
              <Square size={14} aria-hidden />
              {serverTexts.servers.stop}
            </GuardedButton>
          )}
          {isOn ? null : (
            <Button look="primary" disabled={change.isPending} onClick={() => change.mutate("start")}>
              <Play size={14} aria-hidden />
              {serverTexts.servers.start}
            </Button>
          )}
        </>
      }
    >
      {change.error ? <ErrorNotice error={change.error} /> : null}
      {server.reason && server.state !== "ready" ? (
        <Notice kind="bad" title={serverTexts.servers.failed}>
          <p>{server.reason}</p>
          <p>{serverTexts.servers.failedHint}</p>
        </Notice>
      ) : null}
      {server.state === "booting" ? <Boot server={server} /> : null}
      <Figures server={server} />
      <Section title={serverTexts.servers.log}>
        {manages ? (
          <ServerLog serverId={id} replicas={server.processes.length} />
        ) : (
          <p className={styles.hint}>{serverTexts.servers.logForManagers}</p>
        )}
      </Section>
      <Section title={serverTexts.servers.processes}>
        {manages ? (
          <Table
            label={serverTexts.servers.processes}
            rows={server.processes}
            keyOf={(each) => String(each.slot)}
            columns={PROCESS_COLUMNS}
          />
        ) : (
          <p className={styles.hint}>{serverTexts.servers.processesForManagers}</p>
        )}
      </Section>
      <Section title={serverTexts.servers.settings}>
        {manages ? (
          <ServerSettings server={server} />
        ) : (
          <p className={styles.hint}>{modelTexts.modelVersion.notYours}</p>
        )}
      </Section>
    </Page>
  );
}

/** The phases of a boot, and how long it takes. */
function Boot({ server }: { server: Server }) {
  const elapsed = useBootSeconds(server);
  const now = (STEPS as readonly (string | null)[]).indexOf(server.phase);
  return (
    <section className={styles.panel} aria-label={serverTexts.servers.progress}>
      <ol className={styles.steps}>
        {STEPS.map((step, at) => (
          <Step key={step} step={step} state={at < now ? "done" : at === now ? "now" : "next"} />
        ))}
      </ol>
      <p>
        <span className={styles.elapsed}>{bootTime(elapsed, server)}</span>
        {isLate(elapsed, server) ? <span className={styles.late}> {serverTexts.servers.late}</span> : null}
      </p>
      <p className={styles.hint}>
        {server.expected_boot_seconds
          ? serverTexts.servers.expected(duration(server.expected_boot_seconds))
          : serverTexts.servers.firstBoot}
      </p>
    </section>
  );
}

const ICONS = { done: Check, now: CircleDot, next: Circle };

function Step({ step, state }: { step: string; state: keyof typeof ICONS }) {
  const Icon = ICONS[state];
  return (
    <li
      className={styles.step}
      data-state={state}
      {...(state === "now" ? { "aria-current": "step" as const } : {})}
    >
      <Icon size={14} aria-hidden />
      {serverTexts.servers.phaseSteps[step]}
    </li>
  );
}

function Figures({ server }: { server: Server }) {
  const facts = [
    [
      serverTexts.servers.replicas,
      serverTexts.servers.ready(server.ready_replicas, server.processes.length || server.replicas),
    ],
    [serverTexts.servers.memory, server.memory_bytes ? bytes(server.memory_bytes) : t.common.unknown],
    [serverTexts.servers.restarts, count(server.restarts)],
    [serverTexts.servers.lastBoot, server.boot_seconds ? duration(server.boot_seconds) : t.common.unknown],
  ] as const;
  return (
    <dl className={styles.figures}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

const PROCESS_COLUMNS = [
  { title: serverTexts.servers.slot, cell: ({ slot }: Process) => slot },
  {
    title: serverTexts.servers.state,
    cell: ({ state, phase }: Process) =>
      phase
        ? serverTexts.servers.booting(serverTexts.servers.phases[phase] ?? phase)
        : (deploymentTexts.deployments.serverStates[state] ?? state),
  },
  { title: serverTexts.servers.pid, cell: ({ pid }: Process) => pid ?? t.common.unknown },
  {
    title: serverTexts.servers.host,
    cell: ({ host_id, is_registered }: Process) => {
      if (is_registered) return serverTexts.servers.registered;
      return host_id ? <Id id={host_id} /> : serverTexts.servers.noHost;
    },
  },
  {
    title: serverTexts.servers.memory,
    cell: ({ memory_bytes }: Process) => (memory_bytes ? bytes(memory_bytes) : t.common.unknown),
  },
  { title: serverTexts.servers.restarts, cell: ({ restarts }: Process) => count(restarts) },
];
