import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView, keymap, tooltips } from "@codemirror/view";
import { useEffect, useRef } from "react";
import { completionsAt } from "./completions";
import styles from "./form.module.css";
import type { Samples } from "./samples";

interface CodeEditorProps {
  id: string;
  value: string;
  samples: Samples;
  isReadOnly: boolean;
  onChange: (value: string) => void;
  onFocus: () => void;
  "aria-label": string;
  "aria-invalid": boolean;
  "aria-describedby": string;
}

/** An editor of CodeMirror. Tab leaves it, as it does every other field. */
export function CodeEditor({
  value,
  samples,
  isReadOnly,
  onChange,
  onFocus,
  ...attributes
}: CodeEditorProps) {
  const parent = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const named = useRef(new Compartment());
  const now = useRef({ value, samples, onChange, onFocus });
  now.current = { value, samples, onChange, onFocus };
  const { id, "aria-label": label, "aria-invalid": isInvalid, "aria-describedby": description } = attributes;

  useEffect(() => {
    if (!parent.current) return;
    const changed = EditorView.updateListener.of((update) => {
      const text = update.state.doc.toString();
      if (update.docChanged && text !== now.current.value) now.current.onChange(text);
    });
    const editor = new EditorView({
      parent: parent.current,
      doc: now.current.value,
      extensions: [
        BASICS,
        EditorState.readOnly.of(isReadOnly),
        EditorView.editable.of(!isReadOnly),
        autocompletion({ override: [(context) => completionsAt(context, now.current.samples)] }),
        EditorView.domEventHandlers({ focus: () => now.current.onFocus() }),
        named.current.of([]),
        changed,
      ],
    });
    view.current = editor;
    return () => editor.destroy();
  }, [isReadOnly]);
  useEffect(() => {
    const text = view.current?.state.doc.toString();
    if (text !== undefined && text !== value)
      view.current?.dispatch({ changes: { from: 0, to: text.length, insert: value } });
  }, [value]);
  useEffect(() => {
    const content = EditorView.contentAttributes.of({
      id,
      "aria-label": label,
      "aria-invalid": String(isInvalid),
      "aria-disabled": String(isReadOnly),
      "aria-describedby": description,
    });
    view.current?.dispatch({ effects: named.current.reconfigure(content) });
  }, [id, label, isInvalid, isReadOnly, description]);
  return <div ref={parent} className={styles.editor} />;
}

const THEME = EditorView.theme({
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.25rem" },
  ".cm-content": { padding: "5px 0", caretColor: "var(--text)" },
  ".cm-line": { padding: "0 10px" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    background: "var(--accent-tint)",
  },
  ".cm-tooltip": {
    zIndex: "20",
    border: "1px solid var(--line)",
    background: "var(--canvas)",
    color: "var(--text)",
    font: "var(--small)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
    background: "var(--accent-tint)",
    color: "var(--text)",
  },
  ".cm-tooltip.cm-completionInfo": { padding: "6px 10px" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal" },
});

const BASICS: Extension = [
  EditorView.cspNonce.of(document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? ""),
  EditorView.lineWrapping,
  EditorState.tabSize.of(2),
  history(),
  closeBrackets(),
  tooltips({ parent: document.body }),
  keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap]),
  THEME,
];
