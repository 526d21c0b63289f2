import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type JsonObject, stringifyJson } from "../../formats/lossless-json";
import { callDeployment } from "./call";

interface Called {
  trigger_path: string;
}

/** Calls of a deployment by the session, one at a time; leaving the page ends one that goes on. */
export function useCall({ trigger_path }: Called, version?: number) {
  const [waits, setWaits] = useState(0);
  const [isAccepted, setAccepted] = useState(false);
  const abort = useRef<AbortController>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const call = useMutation({
    mutationFn: (input: JsonObject) => {
      setAccepted(false);
      abort.current = new AbortController();
      return callDeployment({
        path: trigger_path,
        version,
        body: stringifyJson({ input_data: input }),
        signal: abort.current.signal,
        onWait: setWaits,
        onAccepted: () => setAccepted(true),
      });
    },
    onSettled: () => setWaits(0),
  });
  return {
    call,
    /** Seconds until the call is sent again. */
    waits,
    /** Whether the gateway has accepted a run whose result comes later. */
    isAccepted,
    isStopped: call.error instanceof DOMException,
    stop: () => abort.current?.abort(),
  };
}
