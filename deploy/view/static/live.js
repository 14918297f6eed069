// A run that goes on: the numbers of the page are asked for again, and `renew` gets them when they are others.
"use strict";
window.follow = (source, renew) => {
  const live = document.getElementById("live"), every = 1000 * Number(document.body.dataset.poll);
  let tag = "";
  async function look() {
    try {
      const answer = await fetch(source, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        renew(await answer.json());
      } else if (answer.status !== 304) throw new Error(answer.statusText);
      live.classList.remove("lost");
      live.textContent = "live";
    } catch {
      live.classList.add("lost");
      live.textContent = "the server is gone";
    }
    live.hidden = false;
    setTimeout(look, every);
  }
  if (every) look();
};
