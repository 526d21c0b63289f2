import {
  type Edge,
  type EdgeChange,
  type FinalConnectionState,
  type NodeChange,
  ReactFlow,
  useNodesInitialized,
  useReactFlow,
} from "@xyflow/react";
import { type DragEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { editorTexts } from "../../strings/editor";
import type { Position } from "../flows/flow-nodes";
import { nameOf } from "../flows/flow-nodes";
import "./canvas.css";
import styles from "./canvas.module.css";
import { casesOf } from "./connections";
import { type Draft, edgeKey } from "./draft";
import { useDraft, useEditor, useSelectedEdges, useSelectedNodes } from "./editor-context";
import { positionsOf } from "./layout";
import { useMarks } from "./marks";
import { type CardNode, NodeCard } from "./node-card";
import { DRAGGED_KIND } from "./palette";

const NODE_TYPES = { card: NodeCard };
const CONNECTION_RADIUS = 40;
const FIT = { padding: 0.15, maxZoom: 1 };
const HIDE = { hideAttribution: true };

/** The graph, on which nodes are moved and connected by pointer. */
export function Canvas() {
  const { session, kinds, commands } = useEditor();
  const draft = useDraft();
  const flow = useReactFlow();
  const { nodes, onNodesChange } = useCardNodes(draft);
  const { edges, onEdgesChange } = useCardEdges(draft);
  useFirstFit();

  const drop = (event: DragEvent) => {
    const kind = kinds.get(event.dataTransfer.getData(DRAGGED_KIND));
    if (!kind || session.isReadOnly) return;
    event.preventDefault();
    commands.add(kind, flow.screenToFlowPosition({ x: event.clientX, y: event.clientY }));
  };
  /** A node takes an edge wherever it is dropped on it, and says so if it does not. */
  const connectEnd = (event: MouseEvent | TouchEvent, state: FinalConnectionState) => {
    const target = state.toNode?.id ?? nodeAt(event);
    const { fromNode, fromHandle } = state;
    if (state.isValid || !target || !fromNode || target === fromNode.id) return;
    const isForward = fromHandle?.type === "source";
    const source = isForward ? fromNode.id : target;
    const chosen = isForward ? fromHandle.id : null;
    commands.connect({
      source,
      target: isForward ? target : fromNode.id,
      ...(chosen ? { case: chosen } : {}),
    });
  };
  return (
    <ReactFlow
      className={styles.canvas ?? ""}
      aria-label={editorTexts.canvas}
      nodes={nodes}
      edges={edges}
      nodeTypes={NODE_TYPES}
      onNodesChange={onNodesChange}
      onEdgesChange={onEdgesChange}
      onConnect={({ source, target, sourceHandle }) =>
        commands.connect({ source, target, ...(sourceHandle ? { case: sourceHandle } : {}) })
      }
      isValidConnection={({ source, target, sourceHandle }) =>
        commands.refusalOf({ source, target, ...(sourceHandle ? { case: sourceHandle } : {}) }) === null
      }
      onConnectEnd={connectEnd}
      onPaneClick={() => session.drafts.select(new Set())}
      onDragOver={(event) => event.preventDefault()}
      onDrop={drop}
      nodesDraggable={!session.isReadOnly}
      nodesConnectable={!session.isReadOnly}
      connectionRadius={CONNECTION_RADIUS}
      deleteKeyCode={null}
      disableKeyboardA11y
      minZoom={0.2}
      maxZoom={2}
      proOptions={HIDE}
    />
  );
}

/** Fit the graph into view once all its nodes are measured; the canvas by itself does so with the first. */
function useFirstFit() {
  const flow = useReactFlow();
  const isMeasured = useNodesInitialized();
  const isDone = useRef(false);
  useEffect(() => {
    if (!isMeasured || isDone.current) return;
    isDone.current = true;
    void flow.fitView(FIT);
  }, [flow, isMeasured]);
}

/** The draft's nodes as the canvas takes them; what has not changed stays the same object. */
function useCardNodes(draft: Draft) {
  const { session, kinds, commands } = useEditor();
  const selected = useSelectedNodes();
  const marks = useMarks();
  const [measured, setMeasured] = useState<ReadonlyMap<string, { width: number; height: number }>>(new Map());
  const [moving, setMoving] = useState<ReadonlyMap<string, Position>>(new Map());
  const last = useRef(new Map<string, CardNode>());

  const positions = useMemo(() => positionsOf(draft), [draft]);
  const nodes = useMemo(() => {
    const found = draft.nodes.map((node): CardNode => {
      const kind = kinds.get(node.type);
      const mark = marks.get(node.id);
      const before = last.current.get(node.id);
      const position = moving.get(node.id) ?? positions.get(node.id) ?? { x: 0, y: 0 };
      const size = measured.get(node.id);
      const isSelected = selected.has(node.id);
      const isSameData = before?.data.node === node && before.data.kind === kind && before.data.mark === mark;
      const isSamePlace = before?.position.x === position.x && before.position.y === position.y;
      if (isSameData && isSamePlace && before.measured === size && before.selected === isSelected)
        return before;
      return {
        id: node.id,
        type: "card",
        position,
        selected: isSelected,
        data: isSameData ? before.data : { node, kind, mark },
        ariaLabel: editorTexts.nodeLabel(kind?.title ?? node.type, nameOf(node), mark?.text ?? ""),
        ...(size ? { measured: size } : {}),
      };
    });
    last.current = new Map(found.map((node) => [node.id, node]));
    return found;
  }, [draft, kinds, marks, measured, moving, positions, selected]);

  const onNodesChange = useCallback(
    (changes: NodeChange<CardNode>[]) => {
      const chosen = new Set(session.drafts.store.getState().nodes);
      const sizes = new Map<string, { width: number; height: number }>();
      const onTheWay = new Map<string, Position>();
      const placed = new Map<string, Position>();
      for (const change of changes) {
        if (change.type === "dimensions" && change.dimensions) sizes.set(change.id, change.dimensions);
        if (change.type === "select" && change.selected) chosen.add(change.id);
        if (change.type === "select" && !change.selected) chosen.delete(change.id);
        if (change.type === "position" && change.position)
          (change.dragging ? onTheWay : placed).set(change.id, change.position);
      }
      if (sizes.size > 0) setMeasured((before) => new Map([...before, ...sizes]));
      if (onTheWay.size > 0) setMoving(onTheWay);
      if (placed.size > 0) {
        commands.place(placed);
        setMoving(new Map());
      }
      if (changes.some((change) => change.type === "select"))
        session.drafts.select(chosen, session.drafts.store.getState().edges);
    },
    [session, commands],
  );
  return { nodes, onNodesChange };
}

function useCardEdges(draft: Draft) {
  const { session } = useEditor();
  const selected = useSelectedEdges();
  const edges = useMemo(() => {
    const nodes = new Map(draft.nodes.map((node) => [node.id, node]));
    return draft.edges.map((edge): Edge => {
      const [source, target] = [nodes.get(edge.source), nodes.get(edge.target)];
      const hasHandle = source && edge.case !== undefined && casesOf(source).includes(edge.case);
      return {
        id: edgeKey(edge),
        source: edge.source,
        target: edge.target,
        sourceHandle: hasHandle ? (edge.case ?? null) : null,
        selected: selected.has(edgeKey(edge)),
        ariaLabel: editorTexts.edgeLabel(
          source ? nameOf(source) : edge.source,
          target ? nameOf(target) : edge.target,
        ),
        ...(edge.case !== undefined && !hasHandle ? { label: editorTexts.onlyIf(edge.case) } : {}),
      };
    });
  }, [draft, selected]);

  const onEdgesChange = useCallback(
    (changes: EdgeChange[]) => {
      const chosen = new Set(session.drafts.store.getState().edges);
      for (const change of changes) {
        if (change.type === "select" && change.selected) chosen.add(change.id);
        if (change.type === "select" && !change.selected) chosen.delete(change.id);
      }
      session.drafts.select(session.drafts.store.getState().nodes, chosen);
    },
    [session],
  );
  return { edges, onEdgesChange };
}

function nodeAt(event: MouseEvent | TouchEvent): string | undefined {
  const point = "changedTouches" in event ? event.changedTouches[0] : event;
  const element = point ? document.elementFromPoint(point.clientX, point.clientY) : null;
  return element?.closest<HTMLElement>(".react-flow__node")?.dataset["id"];
}
