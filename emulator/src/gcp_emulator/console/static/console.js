// New rows as they happen. Without this file the page is as complete as it was when it was loaded.
"use strict";

const KEPT_ROWS = 500;

function follow(table) {
  const body = table.tBodies[0];
  const status = table.querySelector(".live");
  const button = document.createElement("button");
  button.type = "button";
  table.caption.append(button);
  const address = new URL(table.dataset.live, location.href);
  let source = null;

  function show(text, pressed) {
    status.textContent = text;
    button.textContent = pressed ? "Go on" : "Pause";
  }

  function listen() {
    source = new EventSource(address);
    source.onopen = () => show("live", false);
    source.onerror = () => show("the emulator does not answer; trying again", false);
    source.onmessage = (event) => {
      address.searchParams.set("after", event.lastEventId);
      // The rows come escaped from the same templates as the page.
      body.insertAdjacentHTML("afterbegin", event.data);
      while (body.rows.length > KEPT_ROWS) body.rows[body.rows.length - 1].remove();
    };
  }

  button.addEventListener("click", () => {
    if (source) {
      source.close();
      source = null;
      show("paused", true);
    } else {
      listen();
    }
  });
  show("", false);
  listen();
}

// On a phone the menu is a strip; show where in it this page is.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
for (const table of document.querySelectorAll("table[data-live]")) follow(table);
