import { getRouteApi } from "@tanstack/react-router";
import {
  type ClipboardEvent,
  type KeyboardEvent,
  lazy,
  Suspense,
  useEffect,
  useEffectEvent,
  useRef,
  useState,
} from "react";
import { editorTexts } from "../../strings/editor";
import { Skeleton } from "../../ui/loading";
import { type FlowNode, nameOf, type Position } from "../flows/flow-nodes";
import { Canvas } from "./canvas";
import { ConnectDialog } from "./connect-dialog";
import styles from "./editor.module.css";
import { useDraft, useEditor, useOneSelected } from "./editor-context";
import { FlowRail } from "./flow-rail";
import { ListView } from "./list-view";
import type { PanelTab } from "./node-panel";
import { Palette } from "./palette";
import { useNodeFocus } from "./use-node-focus";
import { useView } from "./view";

const loadPanel = () => import("./node-panel").then(({ NodePanel }) => ({ default: NodePanel }));
const NodePanel = lazy(loadPanel);
const loadCodeEditor = () => import("./form/code-editor");

const route = getRouteApi("/app/flows/$flowId/edit");
const STEP = 10;
const IDLE_MILLISECONDS = 500;
const REVEAL_AFTER_MILLISECONDS = 60;
const ARROWS: Record<string, Position> = {
  ArrowLeft: { x: -STEP, y: 0 },
  ArrowRight: { x: STEP, y: 0 },
  ArrowUp: { x: 0, y: -STEP },
  ArrowDown: { x: 0, y: STEP },
};

/** The palette, the graph, and beside it the node that is selected. */
export function Workspace() {
  const { session, commands } = useEditor();
  const draft = useDraft();
  const selected = useOneSelected();
  const { view } = useView();
  const [tab, setTab] = useState<PanelTab>("settings");
  const [connecting, setConnecting] = useState<FlowNode | null>(null);
  const area = useRef<HTMLElement>(null);
  const panel = useRef<HTMLElement>(null);
  const { focus, reveal, fit } = useNodeFocus(area);
  useSelectionInAddress(selected?.id);
  usePanelInAdvance();
  const shown = selected?.id;
  useEffect(() => {
    if (shown === undefined) return;
    // The panel has made the canvas narrower, which the canvas notices a frame later.
    const timer = setTimeout(() => reveal(shown), REVEAL_AFTER_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [shown, reveal]);
  useFocusAfterPanel(shown, (last) => {
    if (session.drafts.draft.nodes.some(({ id }) => id === last)) focus(last);
    else area.current?.focus();
  });

  const open = (id: string) => {
    session.drafts.select(new Set([id]));
    requestAnimationFrame(() => panel.current?.focus());
  };
  const keyDown = (event: KeyboardEvent) => {
    if (isTyping(event.target)) return;
    const hit = focusedElement(event.target);
    const mod = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const arrow = ARROWS[key];
    const node = hit?.node ?? selected?.id;
    let isHandled = true;
    if (mod && key === "z") event.shiftKey ? session.drafts.redo() : session.drafts.undo();
    else if (mod && key === "y") session.drafts.redo();
    else if (mod && key === "a") commands.selectAll();
    else if (mod || event.altKey) isHandled = false;
    else if (key === "c" && node && !session.isReadOnly)
      setConnecting(draft.nodes.find(({ id }) => id === node) ?? null);
    else if (key === "f" && view === "graph") fit();
    else if (key === "Delete" || key === "Backspace") removeFocused(hit);
    else if (key === "Escape") session.drafts.select(new Set());
    else if ((key === "Enter" || key === " ") && hit?.node) open(hit.node);
    else if ((key === "Enter" || key === " ") && hit?.edge)
      session.drafts.select(new Set(), new Set([hit.edge]));
    else if (arrow && view === "graph") moveFocused(hit, arrow, event.shiftKey);
    else isHandled = false;
    if (isHandled) event.preventDefault();
  };
  /** What has the focus is meant, unless it is one of several that are selected. */
  const selectFocused = (hit: Hit | null) => {
    const { nodes, edges } = session.drafts.store.getState();
    if (hit?.node && !nodes.has(hit.node)) session.drafts.select(new Set([hit.node]));
    if (hit?.edge && !edges.has(hit.edge)) session.drafts.select(new Set(), new Set([hit.edge]));
  };
  const removeFocused = (hit: Hit | null) => {
    selectFocused(hit);
    commands.removeSelected();
    area.current?.focus();
  };
  const moveFocused = (hit: Hit | null, { x, y }: Position, isFar: boolean) => {
    selectFocused(hit);
    const factor = isFar ? 10 : 1;
    commands.moveSelected({ x: x * factor, y: y * factor });
  };
  const copy = (event: ClipboardEvent, isCut: boolean) => {
    const text = isTyping(event.target) || window.getSelection()?.toString() ? null : commands.copied();
    if (text === null) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
    if (isCut) commands.removeSelected();
  };
  const paste = (event: ClipboardEvent) => {
    if (!isTyping(event.target) && commands.paste(event.clipboardData.getData("text/plain")))
      event.preventDefault();
  };
  return (
    <div className={styles.workspace} data-panel={selected ? true : undefined}>
      <FlowRail flowId={session.flowId}>
        <Palette onAdded={focus} />
      </FlowRail>
      <section
        ref={area}
        className={styles.area}
        aria-label={editorTexts.canvas}
        aria-describedby="editor-keys"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys that concern no node work when it has the focus
        tabIndex={0}
        onKeyDown={keyDown}
        onCopy={(event) => copy(event, false)}
        onCut={(event) => copy(event, true)}
        onPaste={paste}
      >
        <p id="editor-keys" className={styles.said}>
          {editorTexts.canvasHint}
        </p>
        {view === "graph" ? <Canvas /> : <ListView onOpen={open} />}
        {view === "graph" ? (
          <ul className={styles.keys} aria-hidden>
            {editorTexts.keys.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        ) : null}
        {view === "graph" && draft.nodes.length === 0 ? (
          <p className={styles.empty}>{editorTexts.empty}</p>
        ) : null}
      </section>
      {selected ? (
        <section
          ref={panel}
          className={styles.panel}
          aria-label={editorTexts.panel.label(nameOf(selected))}
          tabIndex={-1}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || event.defaultPrevented) return;
            focus(selected.id);
          }}
        >
          <Suspense fallback={<Skeleton rows={6} />}>
            <NodePanel
              key={selected.id}
              node={selected}
              tab={tab}
              onTab={setTab}
              onClose={() => session.drafts.select(new Set())}
            />
          </Suspense>
        </section>
      ) : null}
      {connecting ? <ConnectDialog node={connecting} onClose={() => setConnecting(null)} /> : null}
    </div>
  );
}

/** When the panel closes, what had the focus in it is gone. */
function useFocusAfterPanel(shown: string | undefined, refocus: (last: string) => void) {
  const last = useRef(shown);
  const onClosed = useEffectEvent(refocus);
  useEffect(() => {
    const before = last.current;
    last.current = shown;
    if (shown === undefined && before !== undefined && document.activeElement === document.body)
      onClosed(before);
  }, [shown]);
}

/** Load the panel and its fields while nothing happens: they open then also when the gateway is away. */
function usePanelInAdvance() {
  useEffect(() => {
    const load = () => Promise.all([loadPanel(), loadCodeEditor()]).catch(() => undefined);
    const timer = setTimeout(load, IDLE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, []);
}

/** Keep the selected node in the address, so that it can be linked; take it from there at first. */
function useSelectionInAddress(selected: string | undefined) {
  const { session } = useEditor();
  const { node } = route.useSearch();
  const navigate = route.useNavigate();
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      if (node !== undefined && session.drafts.draft.nodes.some(({ id }) => id === node)) {
        session.drafts.select(new Set([node]));
        return;
      }
    }
    if (node !== selected)
      void navigate({
        search: ({ node: _, ...others }) => ({
          ...others,
          ...(selected === undefined ? {} : { node: selected }),
        }),
        replace: true,
      });
  }, [session, node, selected, navigate]);
}

interface Hit {
  node?: string | undefined;
  edge?: string | undefined;
}

/** Return the node or edge that has the focus. */
function focusedElement(target: EventTarget): Hit | null {
  const element = target instanceof Element ? target.closest<HTMLElement>("[data-id]") : null;
  if (!element) return null;
  const id = element.dataset["id"];
  return element.classList.contains("react-flow__edge") ? { edge: id } : { node: id };
}

function isTyping(target: EventTarget): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}
