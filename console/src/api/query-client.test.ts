import { MutationObserver, onlineManager } from "@tanstack/react-query";
import { afterEach, expect, it, vi } from "vitest";
import { queryClient } from "./query-client";

afterEach(() => onlineManager.setOnline(true));

/** A change that waits for the gateway. */
async function waiting() {
  onlineManager.setOnline(false);
  const send = vi.fn(() => Promise.resolve("made"));
  const observer = new MutationObserver(queryClient, { mutationFn: send });
  const leave = observer.subscribe(() => undefined);
  const result = observer.mutate();
  await new Promise((resolve) => setTimeout(resolve)); // its observers have been told
  return { send, leave, result };
}

it("a change that waits is made when the gateway is back", async () => {
  const { send, leave, result } = await waiting();
  onlineManager.setOnline(true);
  await queryClient.resumePausedMutations();
  expect(await result).toBe("made");
  expect(send).toHaveBeenCalledOnce();
  leave();
});

it("a change that waits is withdrawn with the dialog that asked for it", async () => {
  const { send, leave } = await waiting();
  leave();
  onlineManager.setOnline(true);
  await queryClient.resumePausedMutations();
  expect(send).not.toHaveBeenCalled();
});
