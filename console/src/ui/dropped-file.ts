import { useEffect, useEffectEvent } from "react";
import { create } from "zustand";

const useDropped = create<{ file: File | null }>(() => ({ file: null }));

/** Keep a file that was dropped onto a list, for the dialog that opens. */
export function drop(file: File): void {
  useDropped.setState({ file });
}

/** Call `take` with the file that was dropped. */
export function useDroppedFile(take: (file: File) => void): void {
  const file = useDropped((state) => state.file);
  const onFile = useEffectEvent(take);
  useEffect(() => {
    if (!file) return;
    useDropped.setState({ file: null });
    onFile(file);
  }, [file]);
}
