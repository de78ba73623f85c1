// The page without this file is whole; with it, the page renews itself when the server says that something changed.
'use strict';
(() => {
  const link = document.getElementById('link');
  const said = document.getElementById('said');
  const style = document.querySelector('link[rel=stylesheet]').getAttribute('href');
  let busy = false, again = false, headline = text('headline');

  function text(id) {
    const found = document.getElementById(id);
    return found ? found.textContent : '';
  }

  function show(connected) {
    link.className = connected ? 'live' : 'lost';
    link.textContent = link.dataset[link.className];
  }

  // Replace what changed; keep the focus, the scroll position, what is typed, and which details are open.
  function swap(next) {
    if (next.querySelector('link[rel=stylesheet]').getAttribute('href') !== style) return location.reload();
    const main = document.getElementById('main');
    const open = [...main.querySelectorAll('details[open][id]')].map(each => each.id);
    const focus = place(document.activeElement, main);
    const box = document.getElementById('q');
    const typed = box && {value: box.value, at: box.selectionStart};
    const top = scrollY;
    main.replaceChildren(...next.getElementById('main').childNodes);
    for (const id of ['commit']) document.getElementById(id).replaceWith(next.getElementById(id));
    document.querySelector('.foot time').replaceWith(next.querySelector('.foot time'));
    document.title = next.title;
    for (const id of open) document.getElementById(id)?.setAttribute('open', '');
    if (typed && document.getElementById('q')) document.getElementById('q').value = typed.value;
    dress(main);
    const target = focus && find(focus, main);
    if (target) target.focus({preventScroll: true});
    if (target && typed && target.id === 'q') target.setSelectionRange(typed.at, typed.at);
    if (scrollY !== top) scrollTo(0, top);
    if (text('headline') !== headline) said.textContent = headline = text('headline');
  }

  // Where an element is, in words that are still true after the swap: its id, or its place among its like.
  function place(element, main) {
    if (!element || !main.contains(element)) return null;
    if (element.id) return {id: element.id};
    const key = `${element.tagName}|${element.getAttribute('href') || ''}|${element.textContent}`;
    return {key, nth: alike(key, main).indexOf(element)};
  }
  function find(where, main) {
    return where.id ? document.getElementById(where.id) : alike(where.key, main)[where.nth];
  }
  function alike(key, main) {
    return [...main.querySelectorAll('a, button, summary, pre, input')].filter(
      each => `${each.tagName}|${each.getAttribute('href') || ''}|${each.textContent}` === key);
  }

  async function renew() {
    if (busy) return void (again = true);
    busy = true;
    try {
      const answer = await fetch(location.href, {cache: 'no-store', redirect: 'error'});
      if (answer.status === 404) location.assign('/');  // the app or host is not there any more
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), 'text/html'));
    } catch (_) {
      show(false);
    }
    busy = false;
    if (again) {
      again = false;
      renew();
    }
  }

  // A button that copies beside each command.
  function dress(root) {
    for (const code of root.querySelectorAll('.command code, code.copy')) {
      if (!navigator.clipboard || code.parentNode.className === 'copying') continue;
      const both = document.createElement('span'), button = document.createElement('button');
      both.className = 'copying';
      button.type = 'button';
      button.textContent = 'copy';
      button.setAttribute('aria-label', `copy ${code.textContent}`);
      button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = 'copied';
        setTimeout(() => (button.textContent = 'copy'), 1500);
      });
      code.replaceWith(both);
      both.append(code, button);
    }
  }

  dress(document);
  // A browser connects again by itself after a broken connection, but not after an answer such as 503.
  function connect() {
    const events = new EventSource('/events');
    events.addEventListener('open', () => {
      show(true);
      renew();  // for what changed while nobody listened
    });
    events.addEventListener('changed', () => renew());
    events.addEventListener('error', () => {
      show(false);
      if (events.readyState === EventSource.CLOSED) setTimeout(connect, 10000);
    });
  }

  connect();
  setInterval(() => { if (!document.hidden) renew(); }, 30000);  // so that "3 min ago" stays true
})();
