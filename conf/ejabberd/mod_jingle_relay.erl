%%% SPDX-License-Identifier: ISC
%%% ejabberd module: hands the Jingle requests between two users to jingle-relayd, and sends on what
%%% comes back (docs/DIVERT.md). Clients notice nothing but more candidates.
%%%
%%% A request is caught where all stanzas pass, filter_packet, so after the sender's privacy lists
%%% and blocks. A process per virtual host holds it while the component has it, together with all
%%% that the same full JID sends to the same full JID meanwhile, so that nothing is overtaken.
%%% Whatever goes wrong has one answer: the original goes on, after two seconds at the latest.
%%%
%%% Hooks run in the senders' processes and read settings and the component's state from a table; a
%%% row {held, Pair} counts what the host's process has of that pair and has not sent on yet.

-module(mod_jingle_relay).

-behaviour(gen_mod).
-behaviour(gen_server).

-export([start/2, stop/1, reload/3, depends/2, mod_opt_type/1, mod_options/1, mod_doc/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, code_change/3]).
-export([filter_packet/1, component_connected/1, component_disconnected/2, session_closed/3,
         stats/1]).

-include("logger.hrl").
-include("xmpp.hrl").
-include("ejabberd_commands.hrl").

-define(NS_DIVERT, <<"urn:xmpp:jingle-relayd:divert:1">>).
-define(NS_FORWARDED, <<"urn:xmpp:forward:0">>).
-define(NS_XML_ITSELF, <<"http://www.w3.org/XML/1998/namespace">>).
-define(LATE, 90).               % among the hooks of filter_packet: after all that may drop
-define(TICK, 10000).            % ms between two looks at what no hook tells
-define(PROBE_TIMEOUT, 10000).   % ms that the component has for its disco#info
-define(EXTRA_LIFETIME, 60000).  % ms in which a stanza of the relay's own may be answered
-define(MAX_FORWARDED, 128).     % stanzas in one answer of the component
-define(MAX_ELEMENTS, 2000).     % in a stanza that the component gets; a call has some hundreds
-define(MAX_HELD, 100).          % stanzas of one pair; beyond that all of them go on
-define(MAX_GONE, 1000).         % JIDs to be told when the component is back
-define(LINGER, 100).            % ms in which a stopped process takes what was under way to it

%% What the hooks need to know of a host; a persistent term. Another one says of each component that
%% it is one.
-record(link, {proc :: atom(),
               table :: atom(),
               component :: binary(),
               access :: atom() | acl:acl(),
               counters :: counters:counters_ref()}).

-type pair() :: {jid:ljid(), jid:ljid()}.

%% A stanza that waits, or that the component has. Times are monotonic, in ms.
-record(item, {stanza :: stanza(), divert :: boolean(), since :: integer()}).

%% What is held of one pair: the component has the first item, the others are behind it.
-record(held, {ref :: reference(), first :: #item{}, rest = queue:new() :: queue:queue(#item{})}).

-record(state, {host :: binary(),
                link :: #link{},
                timeout :: pos_integer(),
                up = false :: boolean(),
                probe :: undefined | reference(),
                pairs = #{} :: #{pair() => #held{}},
                gone = [] :: [jid:ljid()]}).

%%% --- module ---

start(Host, Opts) ->
    gen_mod:start_child(?MODULE, Host, Opts).

%% From here on nothing is handed over any more; the process then sends on all that it has.
stop(Host) ->
    persistent_term:erase({?MODULE, Host}),
    gen_mod:stop_child(?MODULE, Host).

reload(Host, NewOpts, _OldOpts) ->
    gen_server:cast(gen_mod:get_module_proc(Host, ?MODULE), {reload, NewOpts}).

depends(_Host, _Opts) ->
    [].

mod_opt_type(component) ->
    econf:domain();
mod_opt_type(access) ->
    econf:acl();
mod_opt_type(timeout) ->
    econf:timeout(second).

mod_options(Host) ->
    [{component, <<"relay.", Host/binary>>},
     {access, all},
     {timeout, timer:seconds(2)}].

mod_doc() ->
    #{desc =>
          <<"Hands Jingle requests between two users to the component of jingle-relayd, which adds "
            "the candidates of its relay. If it does not answer, calls go on without it.">>,
      opts =>
          [{component,
            #{value => <<"Host">>,
              desc => <<"The component. The default value is 'relay.' and the virtual host.">>}},
           {access,
            #{value => <<"AccessName">>,
              desc => <<"Whose calls are handed over, of this host's users. The default value is "
                        "'all'.">>}},
           {timeout,
            #{value => <<"timeout()">>,
              desc => <<"How long a request waits for the component before it goes on as it was. "
                        "The default value is '2 seconds'.">>}}],
      example =>
          ["modules:",
           "  mod_jingle_relay:",
           "    component: relay.example.org"]}.

%%% --- the host's process: start and end ---

init([Host | _]) ->
    process_flag(trap_exit, true),
    Opts = gen_mod:get_module_opts(Host, ?MODULE),
    Proc = gen_mod:get_module_proc(Host, ?MODULE),
    ets:new(Proc, [named_table, public, {write_concurrency, true}]),
    Link = #link{proc = Proc, table = Proc, counters = counters:new(length(counts()), [])},
    State = configure(Opts, #state{host = Host, link = Link}),
    ejabberd_hooks:add(filter_packet, ?MODULE, filter_packet, ?LATE),
    ejabberd_hooks:add(component_connected, ?MODULE, component_connected, 50),
    ejabberd_hooks:add(component_disconnected, ?MODULE, component_disconnected, 50),
    ejabberd_hooks:add(sm_remove_connection_hook, Host, ?MODULE, session_closed, 50),
    ejabberd_commands:register_commands(commands()),
    self() ! tick,
    {ok, State}.

configure(Opts, #state{host = Host, link = Link} = State) ->
    Component = gen_mod:get_opt(component, Opts),
    NewLink = Link#link{component = Component, access = gen_mod:get_opt(access, Opts)},
    persistent_term:put({?MODULE, Host}, NewLink),
    leave(Link),
    persistent_term:put({?MODULE, component, Component}, true),
    State#state{link = NewLink, timeout = gen_mod:get_opt(timeout, Opts)}.

%% The component may be that of another host.
leave(#link{component = Component}) ->
    Links = [persistent_term:get({?MODULE, Host}, undefined) || Host <- ejabberd_option:hosts()],
    lists:keymember(Component, #link.component, [Link || #link{} = Link <- Links])
        orelse persistent_term:erase({?MODULE, component, Component}).

terminate(_Reason, #state{host = Host, link = Link} = State) ->
    persistent_term:erase({?MODULE, Host}),
    leave(Link),
    ejabberd_hooks:delete(sm_remove_connection_hook, Host, ?MODULE, session_closed, 50),
    case gen_mod:is_loaded_elsewhere(Host, ?MODULE) of
        true ->
            ok;
        false ->
            ejabberd_hooks:delete(filter_packet, ?MODULE, filter_packet, ?LATE),
            ejabberd_hooks:delete(component_connected, ?MODULE, component_connected, 50),
            ejabberd_hooks:delete(component_disconnected, ?MODULE, component_disconnected, 50),
            ejabberd_commands:unregister_commands(commands())
    end,
    drain(release_all(State)).

%% A sender may have looked at the settings just before they went.
drain(State) ->
    receive
        {'$gen_cast', {stanza, Pair, Stanza, _}} ->
            release(Pair, Stanza, State),
            drain(State)
    after ?LINGER ->
            ok
    end.

code_change(_OldVsn, State, _Extra) ->
    {ok, State}.

%%% --- hooks, in other processes ---

-spec filter_packet(stanza() | drop) -> stanza() | drop.
filter_packet(drop) ->
    drop;
filter_packet(Stanza) ->
    case is_harmful(Stanza) of
        true ->
            refuse(Stanza),
            drop;
        false ->
            filter(Stanza)
    end.

filter(Stanza) ->
    case {xmpp:get_from(Stanza), xmpp:get_to(Stanza)} of
        {#jid{lresource = FromResource} = From, #jid{lresource = ToResource} = To}
          when FromResource /= <<"">>, ToResource /= <<"">> ->
            Pair = {jid:tolower(From), jid:tolower(To)},
            Hosts = [From#jid.lserver | [To#jid.lserver || To#jid.lserver /= From#jid.lserver]],
            filter(Hosts, Pair, Stanza);
        _ ->
            Stanza
    end.

%% The sender's host comes first; the recipient's has its turn when it has another component.
filter([], _Pair, Stanza) ->
    Stanza;
filter([Host | Hosts], Pair, Stanza) ->
    case persistent_term:get({?MODULE, Host}, undefined) of
        undefined ->
            filter(Hosts, Pair, Stanza);
        Link ->
            % An error that this server makes of a stanza still bears its marks.
            case answers_extra(Link, Pair, Stanza)
                orelse (not is_marked(Stanza, Link, Pair)
                        andalso takes(Host, Link, Pair, Stanza)) of
                true -> drop;
                false -> filter(Hosts, Pair, Stanza)
            end
    end.

%% Whether it is sent straight to a component of ours, which could not read it. What we send there
%% has been looked at before; what mod_delegation sends in the host's name has not.
is_harmful(Stanza) ->
    case {xmpp:get_from(Stanza), xmpp:get_to(Stanza)} of
        {From, #jid{lserver = Component}} ->
            persistent_term:get({?MODULE, component, Component}, false)
                andalso not (is_own(From) andalso is_ours(Stanza))
                andalso not is_readable([xmpp:encode(Stanza)]);
        _ ->
            false
    end.

is_own(#jid{luser = <<"">>, lserver = Host}) ->
    persistent_term:get({?MODULE, Host}, undefined) /= undefined;
is_own(_) ->
    false.

is_ours(Stanza) ->
    case xmpp:get_els(Stanza) of
        [El] -> xmpp:get_ns(El) == ?NS_DIVERT;
        _ -> false
    end.

%% Without what is in it: others cannot read that either.
refuse(Stanza) ->
    Error = xmpp:err_policy_violation(<<"Too many elements, or a name without a namespace">>,
                                      xmpp:get_lang(Stanza)),
    ejabberd_router:route_error(xmpp:set_els(Stanza, []), Error).

%% Parsers end a stream with names that ejabberd writes otherwise than they were meant: prefixes that
%% a client has declared in the header of its stream, or in the first tag of a stanza, it does not
%% declare, and elements of "xml:" lose their prefix. Relays take some thousands of elements at most.
is_readable(Els) ->
    left_over(Els, ?MAX_ELEMENTS, [<<"xml">>, <<"xmlns">>, <<"stream">>]) > 0.

%% What is left of a number of elements after these and those in them; 0 also where a prefix is not
%% declared.
left_over(_, Left, _) when Left =< 0 ->
    0;
left_over([], Left, _) ->
    Left;
left_over([#xmlel{name = Name, attrs = Attrs, children = Children} | Els], Left, Prefixes) ->
    Declared = [Prefix || {<<"xmlns:", Prefix/binary>>, _} <- Attrs] ++ Prefixes,
    case lists:all(fun({Any, _}) -> is_declared(Any, Declared) end, [{Name, <<"">>} | Attrs])
        andalso not lists:member({<<"xmlns">>, ?NS_XML_ITSELF}, Attrs) of
        true -> left_over(Els, left_over(Children, Left - 1, Declared), Prefixes);
        false -> 0
    end;
left_over([_ | Els], Left, Prefixes) ->
    left_over(Els, Left, Prefixes).

is_declared(Name, Prefixes) ->
    case binary:split(Name, <<":">>) of
        [Prefix, _] -> lists:member(Prefix, Prefixes);
        [_] -> true
    end.

%% Marks live inside the server, where no client can write. The pair is part of it: a chat room
%% sends a stanza on between other JIDs, and that is another session.
is_marked(Stanza, #link{component = Component}, Pair) ->
    lists:member({Component, Pair}, xmpp:get_meta(Stanza, ?MODULE, [])).

mark(Stanza, #link{component = Component}, Pair) ->
    Marks = xmpp:get_meta(Stanza, ?MODULE, []),
    xmpp:put_meta(Stanza, ?MODULE, [{Component, Pair} | Marks]).

%% Whether the stanza is ours now. The table goes with the host's process.
takes(Host, #link{table = Table} = Link, Pair, Stanza) ->
    try
        Divert = is_wanted(Host, Link, Pair, Stanza),
        (Divert orelse ets:member(Table, {held, Pair}))
            andalso hand_over(Host, Link, Pair, Stanza, Divert)
    catch
        error:badarg -> false
    end.

hand_over(Host, #link{table = Table, proc = Proc}, {From, To} = Pair, Stanza, Divert) ->
    ets:update_counter(Table, {held, Pair}, 1, {{held, Pair}, 0}),
    Divert andalso [ets:insert(Table, {{diverted, JID}}) || {_, Server, _} = JID <- [From, To],
                                                            Server == Host],
    gen_server:cast(Proc, {stanza, Pair, Stanza, Divert}),
    true.

%% The answer to a stanza that the relay had sent in somebody's name.
answers_extra(#link{table = Table}, Pair, #iq{type = Type, id = Id})
  when Type == result; Type == error ->
    try
        ets:take(Table, {extra, Pair, Id}) /= []
    catch
        error:badarg -> false
    end;
answers_extra(_, _, _) ->
    false.

is_wanted(Host, #link{table = Table, component = Component} = Link, {From, To} = Pair,
          #iq{type = set, sub_els = Els} = IQ) ->
    case [xmpp:get_ns(El) || El <- Els,
                             lists:member(xmpp:get_name(El), [<<"jingle">>, <<"session">>])] of
        [] ->
            false;
        Namespaces ->
            lists:all(fun({_, Server, _}) -> Server /= Component end, [From, To])
                andalso is_allowed(Host, Link, Pair)
                andalso is_readable([xmpp:encode(El) || El <- Els])
                andalso is_up(Link)
                andalso lists:any(fun(NS) -> ets:member(Table, {payload, NS}) end, Namespaces)
                andalso is_deliverable(To, IQ)
    end;
is_wanted(_, _, _, _) ->
    false.

is_up(#link{table = Table} = Link) ->
    ets:member(Table, {payload, ?NS_DIVERT}) orelse begin count(away, Link), false end.

is_allowed(Host, #link{access = Access}, {From, To}) ->
    lists:any(fun({_, Server, _} = JID) ->
                      Server == Host andalso allow == acl:match_rule(Host, Access, jid:make(JID))
              end, [From, To]).

%% What will be refused here anyway is not worth asking for: nobody there, or a sender whom the
%% recipient blocks. His session checks again.
is_deliverable({User, Server, Resource} = To, IQ) ->
    not ejabberd_router:is_my_host(Server)
        orelse (ejabberd_sm:is_existing_resource(User, Server, Resource)
                andalso allow == ejabberd_hooks:run_fold(privacy_check_packet, Server, allow,
                                                         [jid:make(To), IQ, in])).

component_connected(Component) ->
    tell_all({connected, Component}).

component_disconnected(Component, _Reason) ->
    tell_all({disconnected, Component}).

tell_all(Message) ->
    [gen_server:cast(gen_mod:get_module_proc(Host, ?MODULE), Message)
     || Host <- ejabberd_option:hosts(), gen_mod:is_loaded(Host, ?MODULE)],
    ok.

session_closed(_SID, #jid{lserver = Host} = JID, _Info) ->
    case persistent_term:get({?MODULE, Host}, undefined) of
        #link{proc = Proc} -> gen_server:cast(Proc, {closed, jid:tolower(JID)});
        undefined -> ok
    end.

%%% --- what the host's process is told ---

handle_call(Request, _From, State) ->
    {reply, {error, {unexpected, Request}}, State}.

handle_cast({stanza, Pair, Stanza, Divert}, State) ->
    Item = #item{stanza = Stanza, divert = Divert, since = now_ms()},
    {noreply, take(Pair, Item, State)};
handle_cast({connected, Component}, #state{link = #link{component = Component}} = State) ->
    {noreply, probe(State)};
handle_cast({disconnected, Component}, #state{link = #link{component = Component}} = State) ->
    {noreply, look(release_all(down("it disconnected", State)))};
handle_cast({closed, JID}, State) ->
    {noreply, closed(JID, State)};
handle_cast({reload, Opts}, State) ->
    {noreply, look(configure(Opts, release_all(down("reloaded", State))))};
handle_cast(_, State) ->
    {noreply, State}.

handle_info({iq_reply, Reply, {divert, Pair, Ref}}, #state{pairs = Pairs} = State) ->
    case Pairs of
        #{Pair := #held{ref = Ref} = Held} -> {noreply, answered(Reply, Pair, Held, State)};
        _ -> {noreply, State} % late
    end;
handle_info({iq_reply, Reply, {probe, Ref}}, #state{probe = Ref} = State) ->
    {noreply, probed(Reply, State#state{probe = undefined})};
handle_info({closed, JID}, State) ->
    {noreply, closed(JID, State)};
handle_info(tick, State) ->
    erlang:send_after(?TICK, self(), tick),
    {noreply, look(sweep(State))};
handle_info(_, State) ->
    {noreply, State}.

%%% --- stanzas held ---

take(Pair, Item, #state{pairs = Pairs} = State) ->
    case Pairs of
        #{Pair := #held{rest = Rest} = Held} ->
            Behind = Held#held{rest = queue:in(Item, Rest)},
            bound(Pair, State#state{pairs = Pairs#{Pair := Behind}});
        _ ->
            go(Pair, queue:from_list([Item]), State)
    end.

bound(Pair, #state{pairs = Pairs, link = Link} = State) ->
    #{Pair := #held{rest = Rest}} = Pairs,
    case queue:len(Rest) < ?MAX_HELD of
        true ->
            State;
        false ->
            count(overflow, Link),
            ?INFO_MSG("More than ~b stanzas wait behind a Jingle request to ~ts: all of them go on",
                      [?MAX_HELD, Link#link.component]),
            release_pair(Pair, State)
    end.

%% Sends on what need not wait, up to the first item that the component is asked about.
go(Pair, Queue, #state{pairs = Pairs, up = Up, timeout = Timeout} = State) ->
    case queue:out(Queue) of
        {empty, _} ->
            State#state{pairs = maps:remove(Pair, Pairs)};
        {{value, #item{divert = Divert, since = Since, stanza = Stanza} = Item}, Rest} ->
            Left = Since + Timeout - now_ms(),
            IsAsked = Divert andalso Up andalso Left > 0
                andalso ejabberd_router:is_my_route(State#state.link#link.component),
            case IsAsked of
                true ->
                    Ref = ask(Pair, Stanza, Left, State),
                    Held = #held{ref = Ref, first = Item, rest = Rest},
                    State#state{pairs = Pairs#{Pair => Held}};
                false ->
                    Divert andalso count(away, State#state.link),
                    release(Pair, Stanza, State),
                    go(Pair, Rest, State)
            end
    end.

ask(Pair, Stanza, Timeout, #state{link = Link} = State) ->
    Ref = make_ref(),
    count(diverted, Link),
    ?DEBUG("Jingle request ~ts goes to ~ts", [xmpp:get_id(Stanza), Link#link.component]),
    request(set, wrap(Stanza), {divert, Pair, Ref}, Timeout, State),
    Ref.

wrap(Stanza) ->
    #xmlel{attrs = Attrs} = El = xmpp:encode(Stanza),
    Client = lists:keystore(<<"xmlns">>, 1, Attrs, {<<"xmlns">>, ?NS_CLIENT}),
    Forwarded = #xmlel{name = <<"forwarded">>, attrs = [{<<"xmlns">>, ?NS_FORWARDED}],
                       children = [El#xmlel{attrs = Client}]},
    #xmlel{name = <<"divert">>, attrs = [{<<"xmlns">>, ?NS_DIVERT}], children = [Forwarded]}.

request(Type, El, Context, Timeout, #state{host = Host, link = Link}) ->
    IQ = #iq{type = Type, from = jid:make(Host), to = jid:make(Link#link.component),
             sub_els = [El]},
    ejabberd_router:route_iq(IQ, Context, Link#link.proc, Timeout).

answered(Reply, Pair, #held{first = #item{stanza = Stanza}, rest = Rest}, State) ->
    Next = case verdict(Reply, Pair, Stanza, State) of
               {Verdict, Stanzas} when Verdict == changed; Verdict == answered ->
                   count(Verdict, State#state.link),
                   [note_extra(Extra, State) || Extra <- tl(Stanzas)],
                   send(Pair, Stanzas, State),
                   State;
               pass ->
                   count(passed, State#state.link),
                   release(Pair, Stanza, State),
                   State;
               {failed, Why} ->
                   failed(Why, Pair, Stanza, State)
           end,
    go(Pair, Rest, Next).

failed(Why, {_, To} = Pair, Stanza, #state{link = Link} = State) ->
    count(if Why == timeout -> timeout; true -> failed end, Link),
    ?INFO_MSG("Jingle request ~ts to ~ts goes on without ~ts: ~ts",
              [xmpp:get_id(Stanza), jid:encode(To), Link#link.component, explain(Why)]),
    release(Pair, Stanza, State),
    case Why of
        timeout -> probe(down("it does not answer", State));
        _ -> State
    end.

explain(timeout) -> "no answer";
explain({error, Error}) -> xmpp:format_stanza_error(Error);
explain(Text) -> Text.

release(Pair, Stanza, State) ->
    send(Pair, [Stanza], State).

%% What one item has become leaves; whatever comes of it is not diverted here again.
send({From, To} = Pair, Stanzas, #state{link = #link{table = Table} = Link}) ->
    [ejabberd_router:route(mark(mark(Stanza, Link, Pair), Link, {To, From})) || Stanza <- Stanzas],
    Key = {held, Pair},
    try ets:update_counter(Table, Key, -1) of
        0 -> ets:delete_object(Table, {Key, 0});
        _ -> ok
    catch
        error:badarg -> ok % counted in a table that is no more
    end.

release_all(#state{pairs = Pairs} = State) ->
    lists:foldl(fun release_pair/2, State, maps:keys(Pairs)).

release_pair(Pair, #state{pairs = Pairs, link = Link} = State) ->
    #{Pair := #held{first = First, rest = Rest}} = Pairs,
    [begin
         Divert andalso count(away, Link),
         release(Pair, Stanza, State)
     end || #item{stanza = Stanza, divert = Divert} <- [First | queue:to_list(Rest)]],
    State#state{pairs = maps:remove(Pair, Pairs)}.

%%% --- what comes back ---

%% {changed | answered, Stanzas}, pass, or {failed, Why}. What the component says goes for nothing
%% but these two JIDs.
verdict(timeout, _, _, _) ->
    {failed, timeout};
verdict(#iq{type = error} = IQ, _, _, _) ->
    {failed, {error, xmpp:get_error(IQ)}};
verdict(#iq{type = result, from = From, sub_els = [El]}, Pair, Stanza,
        #state{link = #link{component = Component}}) ->
    try
        {<<"">>, Component, <<"">>} = jid:tolower(From),
        #xmlel{name = <<"divert">>, children = Children} = xmpp:encode(El),
        ?NS_DIVERT = xmpp:get_ns(El),
        verdict([Child || #xmlel{} = Child <- Children], Pair, Stanza)
    catch
        _:_ -> {failed, "malformed answer"}
    end;
verdict(_, _, _, _) ->
    {failed, "malformed answer"}.

verdict([#xmlel{name = <<"pass">>}], _, _) ->
    pass;
verdict([#xmlel{name = <<"answered">>} | Forwarded], {From, To} = Pair, #iq{id = Id}) ->
    case unwrap(Forwarded, Pair) of
        [{{To, From}, #iq{id = Id, type = Type} = First} | More]
          when Type == result; Type == error ->
            {answered, [First | [Stanza || {_, Stanza} <- More]]};
        _ ->
            {failed, "the answer is to another request"}
    end;
verdict(Forwarded, Pair, #iq{id = Id, type = Type} = IQ) ->
    case unwrap(Forwarded, Pair) of
        [{Pair, #iq{id = Id, type = Type, sub_els = Els}} | More] ->
            {changed, [IQ#iq{sub_els = Els} | [Stanza || {_, Stanza} <- More]]};
        _ ->
            {failed, "another request came back"}
    end.

%% [{Pair, Stanza}]; of other JIDs there is none.
unwrap(Forwarded, {From, To} = Pair) when length(Forwarded) =< ?MAX_FORWARDED ->
    Stanzas = [unwrap(El) || El <- Forwarded],
    true = lists:all(fun({Of, _}) -> Of == Pair orelse Of == {To, From} end, Stanzas),
    Stanzas.

unwrap(#xmlel{name = <<"forwarded">>, children = Children} = El) ->
    ?NS_FORWARDED = xmpp:get_ns(El),
    [Inner] = [Child || #xmlel{name = Name} = Child <- Children, Name /= <<"delay">>],
    Stanza = xmpp:decode(Inner, ?NS_CLIENT, [ignore_els]),
    true = xmpp:is_stanza(Stanza),
    {{jid:tolower(xmpp:get_from(Stanza)), jid:tolower(xmpp:get_to(Stanza))}, Stanza}.

%% A request of the relay's own: its sender knows nothing of it, so its answer must not reach him.
note_extra(#iq{type = Type, id = Id, from = From, to = To}, #state{link = #link{table = Table}})
  when Type == set; Type == get ->
    Key = {extra, {jid:tolower(To), jid:tolower(From)}, Id},
    ets:insert(Table, {Key, now_ms() + ?EXTRA_LIFETIME});
note_extra(_, _) ->
    true.

%%% --- the component comes and goes ---

%% For what no hook tells, as when the component is connected to another node of a cluster.
look(#state{up = Up, probe = Probe, link = #link{component = Component}} = State) ->
    case ejabberd_router:is_my_route(Component) of
        true when not Up, Probe == undefined -> probe(State);
        false when Up -> release_all(down("it has no connection", State));
        _ -> State
    end.

probe(State) ->
    Ref = make_ref(),
    request(get, #disco_info{}, {probe, Ref}, ?PROBE_TIMEOUT, State),
    State#state{probe = Ref}.

probed(#iq{type = result} = IQ, State) ->
    Features = try xmpp:try_subtag(IQ, #disco_info{}) of
                   #disco_info{features = Listed} -> Listed;
                   _ -> []
               catch
                   _:_ -> []
               end,
    case lists:member(?NS_DIVERT, Features) of
        true -> up(Features, State);
        false -> down("it does not take Jingle requests", State)
    end;
probed(_, State) ->
    State.

up(Features, #state{host = Host, up = Up, link = #link{component = Component, table = Table},
                    gone = Gone} = State) ->
    Up orelse ?INFO_MSG("Jingle requests of ~ts go by ~ts", [Host, Component]),
    ets:insert(Table, [{{payload, Feature}} || Feature <- Features]),
    Next = State#state{up = true, gone = []},
    [tell_gone(JID, Next) || JID <- lists:reverse(Gone)],
    Next.

down(Why, #state{host = Host, up = Up, link = Link} = State) ->
    #link{component = Component, table = Table} = Link,
    Up andalso ?INFO_MSG("Jingle requests of ~ts do not go by ~ts any more: ~ts",
                         [Host, Component, Why]),
    ets:match_delete(Table, {{payload, '_'}}),
    State#state{up = false, probe = undefined}.

%%% --- users leave ---

%% The relay learns of it after all that it was to see of him. A session may also have been resumed
%% or replaced, and then nobody left.
closed({User, Server, Resource} = JID, #state{pairs = Pairs, link = Link} = State) ->
    IsHeld = lists:any(fun({From, To}) -> From == JID orelse To == JID end, maps:keys(Pairs)),
    case ets:member(Link#link.table, {diverted, JID})
        andalso not ejabberd_sm:is_existing_resource(User, Server, Resource) of
        true when IsHeld ->
            erlang:send_after(200, self(), {closed, JID}),
            State;
        true ->
            ets:delete(Link#link.table, {diverted, JID}),
            gone(JID, State);
        false ->
            State
    end.

gone(JID, #state{up = true} = State) ->
    tell_gone(JID, State),
    State;
gone(JID, #state{gone = Gone} = State) ->
    State#state{gone = lists:sublist([JID | Gone], ?MAX_GONE)}.

tell_gone(JID, #state{link = Link} = State) ->
    count(gone, Link),
    El = #xmlel{name = <<"gone">>, attrs = [{<<"xmlns">>, ?NS_DIVERT},
                                            {<<"jid">>, jid:encode(JID)}]},
    request(set, El, gone, ?PROBE_TIMEOUT, State).

%% Answers that never came, and users who left while nobody looked.
sweep(#state{link = #link{table = Table}} = State) ->
    ets:select_delete(Table, [{{{extra, '_', '_'}, '$1'}, [{'<', '$1', now_ms()}], [true]}]),
    lists:foldl(fun([JID], Acc) -> closed(JID, Acc) end, State,
                ets:match(Table, {{diverted, '$1'}})).

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% --- counters ---

counts() ->
    [diverted, changed, passed, answered, failed, timeout, away, overflow, gone].

count(Name, #link{counters = Counters}) ->
    counters:add(Counters, index(Name, counts(), 1), 1).

index(Name, [Name | _], N) -> N;
index(Name, [_ | Names], N) -> index(Name, Names, N + 1).

commands() ->
    [#ejabberd_commands{
        name = jingle_relay_stats, tags = [statistics],
        desc = "Jingle requests handed to the relay since the module was started, by outcome",
        module = ?MODULE, function = stats,
        args = [{host, binary}], args_desc = ["Virtual host"], args_example = [<<"example.org">>],
        result = {counters, {list, {counter, {tuple, [{name, atom}, {value, integer}]}}}}}].

stats(Host) ->
    #link{counters = Counters} = persistent_term:get({?MODULE, Host}),
    [{Name, counters:get(Counters, index(Name, counts(), 1))} || Name <- counts()].
