import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import type { components } from "../../api/schema";
import { uploadModel } from "../../api/upload";
import { t } from "../../strings";
import { modelTexts } from "../../strings/models";
import { AsCurl } from "../../ui/as-curl";
import { Button, ButtonLink } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { useDroppedFile } from "../../ui/dropped-file";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import { FilePicker } from "../flows/file-picker";
import { modelNameOf } from "../flows/model-flow";
import { UploadProgress } from "../flows/upload-progress";
import styles from "./models.module.css";

type Manifest = components["schemas"]["ManifestOut"];
type Visibility = components["schemas"]["Visibility"];

const route = getRouteApi("/app/models/upload");
const FORM = "upload-model";

export function UploadModelDialog() {
  const navigate = route.useNavigate();
  const queries = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState("");
  const [visibility, setVisibility] = useState<Visibility>("private");
  const [sent, setSent] = useState(0);
  const abort = useRef<AbortController>(null);
  const take = (taken: File) => {
    setFile(taken);
    setName(modelNameOf(taken.name));
  };
  useDroppedFile(take);
  useEffect(() => () => abort.current?.abort(), []);
  const upload = useMutation({
    mutationFn: async () => {
      if (!file) throw new Error("a file is chosen before the form can be sent");
      setSent(0);
      abort.current = new AbortController();
      const { signal } = abort.current;
      return uploadModel({ file, name, visibility, onProgress: setSent, signal });
    },
    onSuccess: () => queries.invalidateQueries(),
  });
  const again = () => {
    upload.reset();
    setFile(null);
    setName("");
  };
  const close = () => void navigate({ to: "/models", search: {} });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!upload.isPending) upload.mutate();
  };
  const isSent = file !== null && sent >= file.size;
  const wasCancelled = upload.error instanceof DOMException && upload.error.name === "AbortError";
  if (upload.data) return <Published manifest={upload.data} onClose={close} again={again} />;
  return (
    <Dialog
      title={modelTexts.uploadModel.title}
      onClose={close}
      footer={
        upload.isPending ? (
          <Button disabled={isSent} onClick={() => abort.current?.abort()}>
            {modelTexts.uploadModel.stop}
          </Button>
        ) : (
          <>
            <Button onClick={close}>{t.common.cancel}</Button>
            <Button type="submit" form={FORM} look="primary" disabled={!file || name === ""}>
              {modelTexts.uploadModel.submit}
            </Button>
          </>
        )
      }
    >
      <form id={FORM} onSubmit={submit} className={styles.form}>
        <FilePicker kind="model" file={file} onChange={take} />
        <Field label={modelTexts.uploadModel.name} hint={modelTexts.uploadModel.nameHint}>
          <TextInput value={name} onValueChange={setName} required maxLength={128} />
        </Field>
        <Choice
          label={modelTexts.uploadModel.visibility}
          columns
          value={visibility}
          onChange={setVisibility}
          options={[
            {
              value: "private",
              label: modelTexts.uploadModel.private,
              hint: modelTexts.uploadModel.privateHint,
            },
            {
              value: "shared",
              label: modelTexts.uploadModel.shared,
              hint: modelTexts.uploadModel.sharedHint,
            },
          ]}
        />
        {upload.isPending && file ? <UploadProgress sent={sent} total={file.size} /> : null}
        {upload.isPending && isSent ? (
          <p className={styles.faint}>{modelTexts.uploadModel.verifyingHint}</p>
        ) : null}
        {wasCancelled ? (
          <Notice kind="info" announced>
            {modelTexts.uploadModel.cancelled}
          </Notice>
        ) : null}
        {upload.error && !wasCancelled ? <ErrorNotice error={upload.error} /> : null}
        {file ? (
          <AsCurl
            calls={[
              {
                method: "POST",
                path: `/node/models/?${new URLSearchParams({ name, visibility })}`,
                file: file.name,
              },
            ]}
          />
        ) : null}
        <div>
          <p className={styles.faint}>{modelTexts.uploadModel.checked}</p>
          <ul className={styles.checks}>
            {modelTexts.uploadModel.checks.map((check) => (
              <li key={check}>{check}</li>
            ))}
          </ul>
        </div>
      </form>
    </Dialog>
  );
}

interface PublishedProps {
  manifest: Manifest;
  onClose: () => void;
  again: () => void;
}

/** What was published; and what of it is not served, with what helps. */
function Published({ manifest: { name, version, warnings = [] }, onClose, again }: PublishedProps) {
  return (
    <Dialog
      title={modelTexts.uploadModel.title}
      onClose={onClose}
      footer={
        <>
          <Button onClick={again}>{modelTexts.uploadModel.another}</Button>
          <ButtonLink
            to="/models/$name/versions/$version"
            params={{ name, version: String(version) }}
            look="primary"
          >
            {modelTexts.uploadModel.open}
          </ButtonLink>
        </>
      }
    >
      <div className={styles.form}>
        <p>{modelTexts.uploadModel.published(name, version)}</p>
        {warnings.length ? (
          <Notice kind="warn" title={modelTexts.uploadModel.partly}>
            {warnings.map((warning) => (
              <p key={warning.name}>{warning.message}</p>
            ))}
          </Notice>
        ) : null}
      </div>
    </Dialog>
  );
}
