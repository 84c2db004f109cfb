// Exchange the token for a cookie. The token is in the address behind "#", which no browser sends.

const form = document.getElementById("form");
const field = document.getElementById("token");
const answer = document.getElementById("answer");

async function signIn(token) {
  try {
    const response = await fetch("/session", { headers: { Authorization: `Bearer ${token}` } });
    if (response.ok) {
      location.replace("/");
      return;
    }
    answer.textContent = "That is not the token. It changes with each start of the server.";
  } catch {
    answer.textContent = "The server does not answer.";
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(field.value.trim());
});

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  // It must not stay in the address bar and the history.
  history.replaceState(null, "", location.pathname);
  signIn(given);
}
