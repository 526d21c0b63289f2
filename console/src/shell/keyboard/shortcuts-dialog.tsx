import { Fragment } from "react";
import { shortcutTexts } from "../../strings/palette";
import { Checkbox } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { closeOverlay } from "../overlay";
import { SHORTCUTS } from "./shortcut-list";
import styles from "./shortcuts-dialog.module.css";
import { useSingleKeys } from "./single-keys";

/** All keys, and the switch that turns the single ones off. */
export function ShortcutsDialog() {
  const { isOn, set } = useSingleKeys();
  return (
    <Dialog title={shortcutTexts.title} onClose={closeOverlay}>
      <div className={styles.switch}>
        <Checkbox label={shortcutTexts.single} checked={isOn} onChange={set} />
        <p>{shortcutTexts.singleHint}</p>
      </div>
      <div className={styles.groups}>
        {SHORTCUTS.map(({ title, shortcuts }) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl className={styles.list}>
              {shortcuts.map(({ keys, action }) => (
                <div key={action} className={styles.row}>
                  <dt>{action}</dt>
                  <dd>
                    {keys.map((sequence, at) => (
                      <Fragment key={sequence.join(" ")}>
                        {at > 0 ? shortcutTexts.to : null}
                        <Keys sequence={sequence} />
                      </Fragment>
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}

function Keys({ sequence }: { sequence: readonly string[] }) {
  return sequence.map((key, at) => (
    <Fragment key={key}>
      {at > 0 ? shortcutTexts.next : null}
      <kbd className={styles.key}>{key}</kbd>
    </Fragment>
  ));
}
