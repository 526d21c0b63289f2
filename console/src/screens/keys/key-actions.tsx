import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { api } from "../../api/client";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/button";
import { DeleteDialog } from "../../ui/delete-dialog";
import { ActionMenu, type MenuAction } from "../../ui/menu";
import { toast } from "../../ui/toast";
import { KEYS, type Key } from "./queries";

interface KeyActionsProps {
  apiKey: Key;
  /** Opens the dialog that rotates the key: the screen has it, as the new key must outlive a row or a page. */
  onRotate: (apiKey: Key) => void;
  onDeleted?: () => void;
}

/** What can be done with a key, behind three dots. */
export function KeyMenu(props: KeyActionsProps) {
  const { actions, dialog } = useKeyActions(props);
  const { name, masked } = props.apiKey; // a key and its replacement have the same name
  return (
    <>
      <ActionMenu label={t.common.actions(`${name} ${masked}`)} actions={actions} />
      {dialog}
    </>
  );
}

/** The same as buttons. */
export function KeyButtons(props: KeyActionsProps) {
  const { actions, dialog } = useKeyActions(props);
  return (
    <>
      {actions.map(({ label, onSelect }) => (
        <Button key={label} onClick={onSelect}>
          {label}
        </Button>
      ))}
      {dialog}
    </>
  );
}

function useKeyActions(props: KeyActionsProps): { actions: MenuAction[]; dialog: ReactNode } {
  const { apiKey, onRotate, onDeleted } = props;
  const [deletes, setDeletes] = useState(false);
  const queries = useQueryClient();
  const { id, name, state } = apiKey;
  const params = { params: { path: { key_id: id } } };
  const activate = useAction(() => api.POST("/node/api-keys/{key_id}/activate/", params), {
    reloads: [KEYS],
    onDone: () => toast(keyTexts.activated(name)),
  });
  const deactivate = useAction(() => api.POST("/node/api-keys/{key_id}/deactivate/", params), {
    reloads: [KEYS],
    onDone: () => toast(keyTexts.deactivated(name), { label: t.common.undo, onPress: activate }),
  });
  const endGrace = useAction(() => api.POST("/node/api-keys/{key_id}/end-grace/", params), {
    reloads: [KEYS],
    onDone: () => toast(keyTexts.graceEnded(name)),
  });
  const deleted = () => {
    void queries.invalidateQueries({ queryKey: ["list", KEYS] });
    toast(keyTexts.deleted(name));
    onDeleted?.();
  };
  const actions: MenuAction[] = [];
  if (state === "deactivated") actions.push({ label: keyTexts.activate, onSelect: activate });
  else actions.push({ label: keyTexts.deactivate, onSelect: deactivate });
  actions.push({ label: keyTexts.rotate, onSelect: () => onRotate(apiKey) });
  if (state === "rotating") actions.push({ label: keyTexts.endGrace, onSelect: endGrace });
  actions.push({ label: keyTexts.delete, onSelect: () => setDeletes(true), danger: true });
  const dialog = deletes ? (
    <DeleteDialog
      title={keyTexts.deleteTitle(name)}
      text={keyTexts.deleteText}
      name={name}
      submit={keyTexts.delete}
      path={`${KEYS}${id}/`}
      send={() => api.DELETE("/node/api-keys/{key_id}/", params)}
      reloads={[]} // a page of the key would ask for it once more
      onDeleted={deleted}
      onClose={() => setDeletes(false)}
    />
  ) : null;
  return { actions, dialog };
}
