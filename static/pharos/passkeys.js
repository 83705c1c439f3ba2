/* Passkeys: forms with data-passkey ask the device before they are sent. */
(() => {
  "use strict";

  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const known = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));

  /** As the server writes it: https://www.w3.org/TR/webauthn-3/#sctn-parseRequestOptionsFromJSON */
  function prepared({ publicKey }) {
    const options = { ...publicKey, challenge: bytes(publicKey.challenge) };
    if (publicKey.user) options.user = { ...publicKey.user, id: bytes(publicKey.user.id) };
    if (publicKey.allowCredentials) options.allowCredentials = known(publicKey.allowCredentials);
    if (publicKey.excludeCredentials) options.excludeCredentials = known(publicKey.excludeCredentials);
    return options;
  }

  /** As the server reads it: https://www.w3.org/TR/webauthn-3/#dictdef-authenticationresponsejson */
  function answered(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response,
      authenticatorAttachment: credential.authenticatorAttachment,
      clientExtensionResults: credential.getClientExtensionResults(),
    };
  }

  const WAYS = {
    async login(form) {
      const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`Pharos answered ${answer.status}. Try again in a minute.`);
      return navigator.credentials.get({ publicKey: prepared((await answer.json()).request_options) });
    },
    async use() {
      return navigator.credentials.get({ publicKey: prepared(given().request_options) });
    },
    async add(form) {
      const publicKey = prepared(given().creation_options);
      const alone = form.elements.passwordless.checked;
      publicKey.authenticatorSelection = {
        ...publicKey.authenticatorSelection,
        residentKey: alone ? "required" : "discouraged",
        requireResidentKey: alone,
        userVerification: alone ? "required" : "preferred",
      };
      return navigator.credentials.create({ publicKey });
    },
  };

  // What browsers say of these is for programmers, each in its own words.
  const SENTENCES = {
    NotAllowedError: "It was cancelled, or took too long.",
    SecurityError:
      "Passkeys belong to a name: open Pharos by its host's name over HTTPS, or as localhost, not by an IP address.",
    InvalidStateError: "This device has a passkey of yours here already.",
  };

  const given = () => JSON.parse(document.getElementById("passkey-options").textContent);

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const said = form.querySelector("[role=status]");
    if (!window.PublicKeyCredential) {
      said.textContent = "Passkeys need HTTPS, or localhost, and a browser that knows them.";
      for (const button of form.querySelectorAll("button")) button.disabled = true;
      continue;
    }
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      said.textContent = "Your browser asks you now …";
      try {
        form.elements.credential.value = JSON.stringify(answered(await WAYS[form.dataset.passkey](form)));
        form.submit();
      } catch (error) {
        said.textContent = SENTENCES[error.name] ?? error.message;
      }
    });
  }
})();
