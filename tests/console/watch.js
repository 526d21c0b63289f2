// Runs in each page before its own scripts, and reports as console errors what no page may do.
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
addEventListener("DOMContentLoaded", () => {
  const key = /sk-[0-9A-Za-z]{46}|whsec_[0-9A-Za-z+/]{24}/;
  const check = () => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data, parentElement } = texts.currentNode;
      if (key.test(data) && !parentElement.closest("[role=dialog]")) console.error("a key outside its dialog");
    }
    for (const { attributes } of document.querySelectorAll("*"))
      for (const { value } of attributes) if (key.test(value)) console.error("a key in an attribute");
    const stored = [{ ...localStorage }, { ...sessionStorage }, document.cookie];
    const kept = JSON.stringify([...stored, history.state, location.href]);
    if (key.test(kept)) console.error("a key in storage, in the history or in the URL");
  };
  const everything = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(check).observe(document, everything);
});
