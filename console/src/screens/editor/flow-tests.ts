import { createStore } from "zustand";
import { api } from "../../api/client";
import { queryClient } from "../../api/query-client";
import { exactNumberIn, isObject, type Json, parseJson, stringifyJson } from "../../formats/lossless-json";
import { isSame } from "../../formats/same";
import { editorTexts } from "../../strings/editor";
import type { FlowNode } from "../flows/flow-nodes";
import { cancelRun } from "../runs/run-changes";
import { loadRun, type RunDocument, runKeys } from "../runs/run-queries";
import { isUnfinished } from "../runs/run-status";
import { withoutPositions } from "./check";
import { ancestorsOf } from "./connections";
import type { Draft } from "./draft";
import type { DraftStore } from "./draft-store";
import { changeNode } from "./edits";
import { followRun } from "./follow-run";
import { plannedNodes, reachableNodes, type TestPart } from "./test-plan";
import { knownOutput, type NodeResult, pinsBefore, resultOf, resultsOf } from "./test-results";

/** A test that was started, or has ended. */
export interface TestRun {
  /** Null: the gateway has not answered yet. */
  id: string | null;
  status: string;
  /** The nodes that it runs. */
  planned: ReadonlySet<string>;
  error: RunDocument["facts"]["error"];
  seconds: number | null;
}

interface TestState {
  /** The input of the next test, as JSON. */
  text: string;
  /** The run that it was the input of; null: it is the flow's test data, and saved with it. */
  inputOf: string | null;
  /** Outputs with which nodes are not run. */
  pins: ReadonlyMap<string, Json>;
  /** The last results of nodes, of tests and of the run that is tried. */
  results: ReadonlyMap<string, NodeResult>;
  run: TestRun | null;
  /** Why there was no test. */
  refusal: unknown;
}

const NOTHING = new Map<string, never>();

/** The tests of the draft that an editor has in memory, and what is known of its nodes by them. */
export class FlowTests {
  readonly store;
  private readonly flowId: string;
  private readonly drafts: DraftStore;
  private testData: unknown;
  private tried: string | null = null;
  private endFollowing = () => {};
  /** It was to be stopped before the gateway had begun it. */
  private stopsOnceBegun = false;

  constructor(flowId: string, drafts: DraftStore) {
    this.flowId = flowId;
    this.drafts = drafts;
    this.testData = testDataOf(drafts.draft);
    this.store = createStore<TestState>(() => ({
      text: shown(this.testData),
      inputOf: null,
      pins: NOTHING,
      results: NOTHING,
      run: null,
      refusal: null,
    }));
    drafts.store.subscribe(({ draft }) => this.draftChanged(draft));
  }

  /** Follow a test that goes on; the editor was away meanwhile. */
  resume(): void {
    const { run } = this.store.getState();
    if (run?.id && isUnfinished(run.status)) this.follow(run.id);
  }

  /** Stop following; the test itself goes on. */
  end(): void {
    this.endFollowing();
  }

  /** Take over what is typed as the input. The flow's own is saved with it, unless it cannot be. */
  type(text: string): void {
    this.store.setState({ text, refusal: null });
    if (this.store.getState().inputOf !== null) return;
    const { value, error, note } = readInput(text);
    const input = inputNode(this.drafts.draft);
    if (!input || error !== null || note !== null) return;
    const data = text.trim() === "" ? undefined : value;
    this.testData = data;
    const { test_data: _, ...others } = input.config ?? {};
    const config = data === undefined ? others : { ...others, test_data: data };
    this.drafts.edit(changeNode(this.drafts.draft, input.id, { config }), "test data");
  }

  /** Use a value as the flow's test data. */
  fill(value: unknown): void {
    this.store.setState({ inputOf: null });
    this.type(stringifyJson(value));
  }

  /** Use the input of a run for tests; the flow keeps its own. */
  borrow({ facts, input }: RunDocument): void {
    this.store.setState({ text: stringifyJson(input ?? {}), inputOf: facts.flow_run_id, refusal: null });
  }

  /** Save the input of a run with the flow. */
  keepInput(): void {
    this.store.setState({ inputOf: null });
    this.type(this.store.getState().text);
  }

  /** Use the flow's test data again. */
  returnInput(): void {
    this.tried = null;
    this.store.setState({ text: shown(this.testData), inputOf: null, refusal: null });
  }

  /** Take over a run: its input, what its nodes gave, and pins up to the node that failed. */
  tryRun(document: RunDocument): void {
    const { facts } = document;
    if (this.tried === facts.flow_run_id) return;
    this.endFollowing();
    this.tried = facts.flow_run_id;
    this.borrow(document);
    const results = resultsOf(document);
    const { draft } = this.drafts;
    const pins = pinsBefore(facts.error?.node_id ?? null, results, draft, (id) => ancestorsOf(draft, id));
    this.store.setState({ results, pins, run: null });
  }

  pin(id: string, value: Json): void {
    this.store.setState(({ pins }) => ({ pins: new Map([...pins, [id, value]]) }));
  }

  unpin(id: string): void {
    this.store.setState(({ pins }) => ({ pins: without(pins, new Set([id])) }));
  }

  /** Test the draft as it is now, whole or in part. */
  async start(part: TestPart = {}): Promise<void> {
    const { run, text } = this.store.getState();
    const { value, error } = readInput(text);
    if (run && isUnfinished(run.status)) return;
    if (error !== null && inputNode(this.drafts.draft)) return;
    const { draft } = this.drafts;
    const pins = this.pinsFor(draft, part);
    const planned = plannedNodes(draft, part, new Map(Object.entries(pins)));
    const started: TestRun = { id: null, status: "queued", planned, error: null, seconds: null };
    this.store.setState({ run: started, refusal: null });
    this.stopsOnceBegun = false;
    try {
      const { data } = await api.POST("/node/flows/test/", {
        body: { flow_id: this.flowId, ...withoutPositions(draft), input_data: value, pins, ...part },
        bodySerializer: (body) => stringifyJson(body),
      });
      if (!data) throw new Error("an answer without a body");
      this.store.setState(({ results }) => ({
        run: { ...started, id: data.flow_run_id },
        results: without(results, planned),
      }));
      this.follow(data.flow_run_id);
      if (this.stopsOnceBegun) await this.stop();
    } catch (refusal) {
      this.store.setState({ run: null, refusal });
    }
  }

  /** Cancel the test that goes on. */
  async stop(): Promise<void> {
    const { run } = this.store.getState();
    this.stopsOnceBegun = run?.id === null;
    // What has ended meanwhile is not cancelled; the events tell how.
    if (run?.id) await cancelRun(run.id).catch((refusal: unknown) => this.store.setState({ refusal }));
  }

  /** The outputs that stand for nodes; of one node alone also what is known of those before it. */
  private pinsFor(draft: Draft, { only }: TestPart): Record<string, Json> {
    const { pins, results } = this.store.getState();
    const reachable = reachableNodes(draft);
    const known =
      only === undefined ? [] : ancestorsOf(draft, only).map((id) => [id, knownOutput(results.get(id))]);
    const all = [...known, ...pins] as [string, Json | undefined][];
    return Object.fromEntries(
      all.filter(([id, value]) => value !== undefined && id !== only && reachable.has(id)),
    ) as Record<string, Json>;
  }

  private follow(id: string): void {
    this.endFollowing();
    this.endFollowing = followRun(id, {
      onStatus: (status) => this.update(id, { status }),
      onNode: (node, entry) => this.found(node, resultOf(id, entry)),
      onEnd: () => void this.finish(id),
    });
  }

  private async finish(id: string): Promise<void> {
    try {
      const document = await queryClient.fetchQuery({
        queryKey: runKeys.run(id),
        queryFn: () => loadRun(id),
        staleTime: 0,
      });
      const { status, error, duration_seconds: seconds } = document.facts;
      if (isUnfinished(status)) {
        this.follow(id);
        return;
      }
      this.store.setState(({ results }) => ({ results: new Map([...results, ...resultsOf(document)]) }));
      this.update(id, { status, error, seconds });
    } catch (refusal) {
      this.store.setState({ run: null, refusal });
    }
  }

  private found(node: string, result: NodeResult | null): void {
    if (result) this.store.setState(({ results }) => ({ results: new Map([...results, [node, result]]) }));
  }

  private update(id: string, members: Partial<TestRun>): void {
    this.store.setState(({ run }) => (run?.id === id ? { run: { ...run, ...members } } : {}));
  }

  /** The flow's test data follow what is edited elsewhere, undone or merged. */
  private draftChanged(draft: Draft): void {
    const data = testDataOf(draft);
    if (isSame(data, this.testData)) return;
    this.testData = data;
    if (this.store.getState().inputOf === null) this.store.setState({ text: shown(data) });
  }
}

interface ReadInput {
  value: Record<string, Json>;
  /** Why it is no input. */
  error: string | null;
  /** Why it is not saved with the flow. */
  note: string | null;
}

/** Return what a text is as an input. */
export function readInput(text: string): ReadInput {
  if (text.trim() === "") return { value: {}, error: null, note: null };
  let value: Json;
  try {
    value = parseJson(text);
  } catch (reason) {
    const error = editorTexts.panel.notJson(reason instanceof Error ? reason.message : String(reason));
    return { value: {}, error, note: null };
  }
  if (!isObject(value)) return { value: {}, error: editorTexts.test.notObject, note: null };
  const rounded = exactNumberIn(value);
  return { value, error: null, note: rounded ? editorTexts.test.rounds(rounded.text) : null };
}

/** Return the node that a flow's input is given to. */
export function inputNode({ nodes }: Draft): FlowNode | undefined {
  return nodes.find(({ type }) => type === "api_input");
}

function testDataOf(draft: Draft): unknown {
  return inputNode(draft)?.config?.["test_data"];
}

function shown(testData: unknown): string {
  return testData === undefined ? "" : stringifyJson(testData);
}

function without<Value>(map: ReadonlyMap<string, Value>, ids: ReadonlySet<string>): Map<string, Value> {
  return new Map([...map].filter(([id]) => !ids.has(id)));
}
