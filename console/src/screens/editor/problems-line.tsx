import { editorTexts } from "../../strings/editor";
import { Status } from "../../ui/status";
import type { Check, Problem } from "./check";
import styles from "./editor.module.css";
import { useEditor } from "./editor-context";

/** What keeps the flow from being saved or deployed; each line leads to its node. */
export function ProblemsLine() {
  const { check, session } = useEditor();
  const { problems } = check;
  const jump = ({ node_id }: Problem) => {
    if (node_id !== null) session.drafts.select(new Set([node_id]));
  };
  return (
    <section className={styles.problems} aria-label={editorTexts.problems.title}>
      <p>
        <CheckStatus check={check} />
      </p>
      <p role="status" className={styles.said}>
        {problems.length ? editorTexts.problems.count(problems.length) : ""}
      </p>
      {problems.length ? (
        <ul>
          {problems.map((problem) => (
            <li key={`${problem.pointer} ${problem.detail}`}>
              {problem.node_id === null ? (
                <span>{problem.detail}</span>
              ) : (
                <button type="button" className={styles.problem} onClick={() => jump(problem)}>
                  <code>{problem.node_id}</code>
                  {problem.detail}
                </button>
              )}
            </li>
          ))}
        </ul>
      ) : null}
    </section>
  );
}

/** What is known of the draft as it is now. */
function CheckStatus({ check: { problems, isChecking, unchecked } }: { check: Check }) {
  if (unchecked !== null) return <Status state="pending">{editorTexts.problems.unchecked(unchecked)}</Status>;
  if (problems.length) return <Status state="failed">{editorTexts.problems.count(problems.length)}</Status>;
  return isChecking ? (
    <Status state="pending">{editorTexts.problems.checking}</Status>
  ) : (
    <Status state="completed">{editorTexts.problems.none}</Status>
  );
}
