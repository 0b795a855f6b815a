/* Search from disk. Browsers refuse workers on file://, so the search runs in a hidden frame there:
   this class has the interface of Worker, as far as the search of the theme uses it. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((done) => {
        this.frame.addEventListener("load", () => done(this.frame.contentWindow), { once: true });
      });
      const answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      window.searchFrames = window.searchFrames || [];
      const number = window.searchFrames.push(answer) - 1;
      // The frame shares this page's origin. It answers through `searchFrames` of its parent.
      this.frame.srcdoc = `<!doctype html><script>
        self.postMessage = (data) => parent.searchFrames[${number}](data);
        self.importScripts = (...urls) => Promise.all(urls.map((url) => new Promise((done, fail) => {
          const script = document.createElement("script");
          Object.assign(script, { src: url, onload: done, onerror: fail });
          document.head.append(script);
        })));
      </${"script"}><script src="${new URL(url, location)}"></${"script"}>`;
      (document.body || document.documentElement).append(this.frame);
    }

    postMessage(data) {
      this.ready.then((frame) => frame.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
