import { Link } from "@tanstack/react-router";
import { CircleCheck } from "lucide-react";
import { hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { bytes, count, duration } from "../../formats/formats";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { serverTexts } from "../../strings/servers";
import { navigationTexts } from "../../strings/shell";
import { Loaded } from "../../ui/loading";
import { Notice } from "../../ui/notice";
import { Page, Section } from "../../ui/page";
import { type State, Status } from "../../ui/status";
import { Table } from "../../ui/table";
import styles from "./system.module.css";

type System = components["schemas"]["SystemOut"];
type Process = System["gateways"][number];
type Host = System["hosts"][number];
type Queue = System["queues"][number];

const MILLISECONDS = 5000;
const STATES: Record<string, State> = {
  ready: "ready",
  alive: "ready",
  booting: "booting",
  stopped: "asleep",
  asleep: "asleep",
  failed: "failed",
  unresponsive: "failed",
  gone: "failed",
  draining: "draining",
};

export function SystemScreen() {
  const role = useSession((state) => state.session?.user.role);
  return (
    <Page title={serverTexts.system.title}>
      {role === "member" ? <Notice kind="info">{serverTexts.system.onlyAdmins}</Notice> : <SystemState />}
    </Page>
  );
}

function SystemState() {
  const system = hooks.useQuery("get", "/node/system/", {}, { refetchInterval: usePolling(MILLISECONDS) });
  return (
    <Loaded query={system} rows={8}>
      {(loaded) => <Shown system={loaded} />}
    </Loaded>
  );
}

function Shown({ system }: { system: System }) {
  const { gateways, workers, queues, hosts, busy, servers } = system;
  return (
    <>
      <Problems problems={system.problems} />
      <Section title={serverTexts.system.gateways}>
        <Table
          label={serverTexts.system.gateways}
          rows={gateways}
          keyOf={(each) => each.id}
          columns={PROCESS_COLUMNS}
        />
      </Section>
      <Section title={serverTexts.system.workers}>
        {workers.length ? (
          <Table
            label={serverTexts.system.workers}
            rows={workers}
            keyOf={(each) => each.id}
            columns={WORKER_COLUMNS}
          />
        ) : (
          <p className={styles.hint}>{serverTexts.system.noWorkers}</p>
        )}
        {Object.entries(busy).map(([host, number]) => (
          <p key={host}>{serverTexts.system.busy(number, host)}</p>
        ))}
      </Section>
      <Section title={serverTexts.system.queues}>
        <Table
          label={serverTexts.system.queues}
          rows={queues}
          keyOf={(each) => each.name}
          columns={QUEUE_COLUMNS}
        />
      </Section>
      <Section title={serverTexts.system.stores}>
        <Table
          label={serverTexts.system.stores}
          rows={partsOf(system)}
          keyOf={(part) => part.name}
          columns={PART_COLUMNS}
        />
      </Section>
      <Section title={serverTexts.system.servers}>
        <Servers servers={servers} />
      </Section>
      <Section title={serverTexts.system.hosts}>
        <Table
          label={serverTexts.system.hosts}
          rows={hosts}
          keyOf={(host) => host.id}
          columns={HOST_COLUMNS}
        />
      </Section>
    </>
  );
}

/** What is wrong, each with what to do; or that nothing is. */
function Problems({ problems }: { problems: System["problems"] }) {
  if (problems.length === 0)
    return (
      <p className={styles.well}>
        <CircleCheck size={18} aria-hidden />
        {serverTexts.system.allWell}
      </p>
    );
  return (
    <Notice kind="bad" title={serverTexts.system.problems(problems.length)}>
      <ul className={styles.problems}>
        {problems.map(({ area, subject, text, advice }) => (
          <li key={`${area} ${subject} ${text}`}>
            <strong>{subject}</strong> {text}
            <p className={styles.advice}>{advice}</p>
          </li>
        ))}
      </ul>
    </Notice>
  );
}

function Servers({ servers: { by_state, waiting, memory_bytes } }: { servers: System["servers"] }) {
  const states = Object.entries(by_state);
  if (states.length === 0) return <p className={styles.hint}>{serverTexts.system.none}</p>;
  return (
    <>
      <p className={styles.states}>
        {states.map(([state, number]) => (
          <ShownState key={state} state={state} text={serverTexts.system.counts(number, stateName(state))} />
        ))}
        {memory_bytes ? <span className={styles.hint}>{bytes(memory_bytes)}</span> : null}
      </p>
      <ul className={styles.waiting}>
        {waiting.map(({ id, model, version, state, reason }) => (
          <li key={id}>
            <Link to="/servers/$serverId" params={{ serverId: id }}>
              {navigationTexts.modelVersion(model, version)}
            </Link>{" "}
            <ShownState state={state} text={stateName(state)} /> {reason}
          </li>
        ))}
      </ul>
    </>
  );
}

function ShownState({ state, text }: { state: string; text: string }) {
  return <Status state={STATES[state] ?? "pending"}>{text}</Status>;
}

function stateName(state: string): string {
  return serverTexts.system.states[state] ?? deploymentTexts.deployments.serverStates[state] ?? state;
}

interface Part {
  name: string;
  state: State;
  text: string;
}

function partsOf({ database, broker, store }: System): Part[] {
  const used =
    store.bytes === null ? null : serverTexts.system.storeFacts(bytes(store.bytes), bytes(store.free_bytes));
  return [
    {
      name: serverTexts.system.database,
      state: database.problem ? "failed" : "ready",
      text: database.problem ?? serverTexts.system.answers(database.kind, duration(database.answer_seconds)),
    },
    {
      name: serverTexts.system.broker,
      state: broker.connected ? "ready" : "failed",
      text: `${broker.address}: ${broker.connected ? serverTexts.system.connected : serverTexts.system.notConnected}`,
    },
    {
      name: serverTexts.system.store,
      state: used !== null && store.room_bytes > 0 ? "ready" : "failed",
      text: used ?? serverTexts.system.storeAway,
    },
  ];
}

const PART_COLUMNS = [
  { title: serverTexts.system.part, cell: ({ name, state }: Part) => <Status state={state}>{name}</Status> },
  { title: serverTexts.system.facts, cell: ({ text }: Part) => text },
];

const PROCESS_COLUMNS = [
  { title: serverTexts.system.name, cell: ({ name }: Process) => name },
  { title: serverTexts.system.host, cell: ({ host }: Process) => host },
  {
    title: serverTexts.system.state,
    cell: ({ state }: Process) => <ShownState state={state} text={stateName(state)} />,
  },
  {
    title: serverTexts.system.heartbeat,
    cell: ({ heartbeat_age_seconds: age }: Process) =>
      age === null ? t.common.unknown : serverTexts.system.heartbeatAge(duration(age)),
  },
];

const WORKER_COLUMNS = [
  ...PROCESS_COLUMNS,
  { title: serverTexts.system.slots, cell: ({ slots }: Process) => slots ?? t.common.unknown },
];

const QUEUE_COLUMNS = [
  { title: serverTexts.system.queue, cell: ({ name }: Queue) => serverTexts.system.queueNames[name] ?? name },
  { title: serverTexts.system.depth, cell: ({ depth }: Queue) => count(depth) },
  {
    title: serverTexts.system.oldest,
    cell: ({ oldest_seconds: oldest }: Queue) => (oldest === null ? t.common.unknown : duration(oldest)),
  },
];

const HOST_COLUMNS = [
  { title: serverTexts.system.name, cell: ({ name }: Host) => name },
  {
    title: serverTexts.system.state,
    cell: ({ state }: Host) => <ShownState state={state} text={stateName(state)} />,
  },
  { title: serverTexts.system.replicas, cell: ({ replicas }: Host) => count(replicas) },
  {
    title: serverTexts.system.memory,
    cell: ({ used_memory_bytes: used, memory_bytes: all }: Host) =>
      all === null ? bytes(used) : serverTexts.system.memoryOf(bytes(used), bytes(all)),
  },
];
