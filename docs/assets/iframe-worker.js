// Browsers start no worker for a page that lies on a disk. Its script, which searches the site, runs in a hidden frame.
// Messages are copied, as those of a worker are: the two sides change what they get.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inner = this.frame.contentWindow
      inner.postMessage = data => setTimeout(() => {
        const event = new MessageEvent("message", { data: structuredClone(data) })
        this.dispatchEvent(event)
        this.onmessage?.(event)
      })
      const script = inner.document.createElement("script")
      script.src = new URL(url, location.href).href
      this.started = new Promise(resolve => { script.onload = resolve })
      inner.document.body.append(script)
    }

    postMessage(data) {
      const event = new MessageEvent("message", { data: structuredClone(data) })
      this.started.then(() => this.frame.contentWindow?.dispatchEvent(event))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
