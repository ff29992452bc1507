"""HDF5 files that Keras 3.15 wrote (``model.save("model.h5")``): compressed, in base 85."""

from __future__ import annotations

import base64
import zlib

# Sequential: Lambda(lambda x: x * 2, name="evil"), Dense(2).
_LAMBDA = (
    "c-rk7O;Z~;RBIc@NudKXok=K7<9cX^NiqbC3nVikEEq5;1&5CW2%U{=uk9_%uGtT4piHmnsXgXaj_s|-o{}7U>bbpf"
    "?4duPmzGLet-V@o$4!_HEqcsYmfn-z)6;uT(v$frm7MOl^zJ2qArb*0&<VV7OyO{Zt-JUqv=nIhl$PHG-1attyF%ML"
    ">G;tg+i`huY6@45eNYvI4iEtx&LgCz#568fS#tnC1z5T*JtwPDSyl=~%k<dg_-pd*qW0>y>voW$=KD5y2U+E&Y(P`m"
    "kquMPHPqfM2&89cRfY)TCt;5<3uL@;`aMF%%fRfWtmR%gPMc?(03%li8OPB_R@d@M0T8)B)A6o{YvTo*`0r8JsYhG%"
    "-^hFHx^Xz){yX6A7h#qzCu^oG#euw|sJL$FB}tWckPWk*?b>T!i~gGmIrU=L_1_}3`*!3fSAYt4Wkb^7mTZEiej*4}"
    "U-OnBj~`;6yx^&an))|r*}uar#U0Rc+`%%=OfJj`fOhcHAsFf({J4LxHqSO%TDp-f(il;V8wmDeSrwWl(PZpSG`1vf"
    "+p=aUP>tP;#+*2W+V^8FfmtPx1~G|cKt+QY6(cRfmQhpA+AYbX6S4uDU}9w6WJrcxav71PbydmkHsF_6b!ZL6V+ROr"
    "$OXl;WJAum18BCYVhk|{6E!^cPiR&v+14CJ`xs=Pl`TqU5fWJ+<B@Jg6Q6nHukuE1W(gW5Zp=f~#FI2&p&;ix4K70k"
    "Gn5?rBpT977FuhhP)d7%1olfg2e&dg*gyr?x6Y2L^R|}76Czz%7805^o`)p)IAl>Qzyyi%l*qy?{#eEzqvbOCoLm)C"
    "WpQ1c9-eq0iYsNYByNtB!~#NnvMFvqNI`M6xF;gqh9*uXhm%XU2QsVTPIl(@=W}t>&Ze~C$z;V`do-x5&rIF8Q7l@S"
    "_@bIgeQKv?Dm!cOX*0W*z~76RNB1|^mJ<t@`-YY+4`BYHI6twtVofYRoS$BNIE&>Xg5KTG@T78b9@?s9QiTvL>!xi~"
    "HH1|Jje@;}oCH(tAJkj#Bo3PmmVt)Uv$Nv1rjV(`@zl`T??Af#F;&rINF2*XB4-q6)&xaDX=npbP-he@ls)8tb)@e1"
    ";Ok6bM%4}7TG5oeZfyA`Vamk+=rTBN2P?8?X>{B2H8!6pp1>Olye=EM$qL$>Csh+7uvKVKu2g;^PhAY{g_xMcMl4^a"
    "dWdZsqPV?B7Eh{*=NK&xdl_3%bCRRS6Jhb-z_V|<`=w|9Zv!meJr9H%>_ZnC>|5@Av746O?dBF`b_-9D;xE#&ry0GY"
    "E#{o@l3z?YaNxj!0|yTO5m=gEND3q?LGyVbHV@#>n{cQP0tnX4lcuk-?;@|tlRk^`cMhH>J^9Y@Lk~;my_bMfc;|59"
    "K(K0esctq7lxY2%9@oAdNDs1f6<U8b#L8buuylvC{&M*LwSI2C*{`o!zPW?so1Hv%E#dr6^UXb;AaT*X-$rV&Lm+=O"
    "{kw93_i3Duwib^LdwD$K@u(J$T)!WWvUG0Vrh0BT<#Wj|SK0XCw_^^C&L#EZKqThW`+8f81AlzP;{cBXC(k9RUY5>H"
    "jk+n-(>a&a;=s`dY#i|0F^5KR!1*1At2lwaoC^V`A>=z>`0GKm;+V24dX3_u;Bo|9{*vO`&<bIEAm9ubp%xMp#_1Ei"
    "KTucBz`Zw6+s_7?)4TTf+lSnin7GjUVr=8vpU3(}|9sy5{qJL6T>tv{Up?I~?)-Y~Ui5JHF4qtT4jede;BX$!mCm`Z"
    "QQqqH&yi31>fb=0o-uvYe+THK`OYHn-nT*H|99ZP@7tdHwrll24*BiPf%GZyb@N01JU;t>1t;^@UD10~#&M8%3nY%|"
    "4};w}(5jz|j&MKW@aBGUH2m-QiT@qzwEg67@}*IS"
)
# Sequential: Dense(3, relu), Dropout, Dense(2, softmax), with an l2 regulariser.
_PLAIN = (
    "c-rk-O-vg{6dv2yY`|0?r3IQcwJbzAM1U~}8j{#efVdKBXp^W>)5<LNf>$iN&hDC;q^PJTa;b8R)C-5I$}xww%Ata^"
    "Rez2>^uVe0F~=Ty$e|LQot?3F#=EuyPGr=1m+{QJee-7KdvD&nUEfX3%yo6V+5s#Q1keV$fs+m}?aa}2(!YpHA1=3X"
    "`M^)wgQ%|$w|8UtkpTVRwfARdt;zvIWks+60dV?1Qfl_?1*^P4!vXx}r}@^jtfZtrk>r(}X*h71Jmk1N7_Tg@!ytv>"
    "`w}<_QMoGVqLE&gbVJru*xv8+p(ne`ItY}VgdAY@A$dvsTR`%b#LTLsX6wocI^_5%y}FPbdp$Cmx-72%q!*|uZ&0Yn"
    "3!wIptNoTjcD)1|v)|Nfb{XMN=JpF|ikufAnlCG<hD6GA3}kgJuN6#SYWcJxtwSu+7EW;Mg)4&BRKH!%0b;*JjQcRO"
    "lRlt`8<L(@#Wl$QHSNUbE8B*%blRacrFKU>$kf|v+B<02-rG@oz|}tQy-uIUUUd1=m3be)1G4@JQhYczF&wjfOL=@q"
    "rlx0dj`<H_o$f?4if9;UC8K8}(W}y}f~1<Vs6@|1qP8D`?RTPt!JrsSU6fUENwK<2y&%D+thtew&?9i?3#ccGye$$)"
    "4K{NPvMy+foZ0XgZCTMoGd>pGgx$KdA{(ZpOIad7EhviBgTP?GhMVkk-cj=fbKdG^23Qi!OfGHYM5OCYOVXLh_{R?Y"
    "%VWbfBQNTP)wnDwhBZlDTv?H_js`NIYz>%J$cS3rgy#!fE6lkG)n#>@u}sHf{#nx38Vg-eWz$;cIQ%VUOnF_jre{5`"
    "OG?2KU4UL-NfwQYnouPbIsh3y3PB^^h704O^RT1eWdfHKP1nrps=Tb}Ys?f33GIZvg?IzRqGVLsphIFBYfsafz!4Sx"
    "P|`JnR<!n*c$pwWK@oL4D%KzA<JyCtf`b?cAtv*XTgR<}2<`Va+PZXEJ*0;lI&FvUh0jWFYamn?O{+RO9J9=pLWZiz"
    "5S+y1J?C4`8q=}Xv&XS2do;9Vb4@IAlWew0R*&lFcNuklj9D9H4B>M$*1&{ch|ODv-cmtUvT1vxst(1?O*;l6F${3T"
    "dqK7x$A2Lv{vdH;yGL9ic*HR$aQ$UmR>F@FByz->GHma_{k>j%_Nsx-I(+GvEisJy`@Q+FM4ECTes|!+i4!MI&8MsH"
    "UYYTsECkM@w9$EhR2x5so+VGru2=m$F=#kXEHsd3-H-71Bs|Yr{hs9SQ#4;C{-o_ac_cs5R>s}qc3SR39QgizisUJ6"
    "x)-DQ9^v|aoYsFKN%IwP{r*Kd|69C7^X=gJ<JsfoN7(fW<IJ`FUZ)S(`R_`?x?aAT<Zu1X`wHHy4ssvD^%F>jkIE|("
    "y^^Qx`eLN9_dcZo?vJ=Xs`w*f_gfM7_deygqsehi-)Y9rF*xSrPF{W>6~%GRKx2Mj>P_wkxF4vFOST7SK9U5(X}BiE"
    "C64<|l)2w9IOgQ#2kh^-$in%+kX`!i29nPu?}OQT0PeWO*%NsK_eDUj0D3>e{Xw`xR=?kG3luOy0=_MKATY{kRBVBJ"
    "v%hkljn?KT_!}DJSaQ<Y(O}}2pEHSnCc1VXO{Feu{SZEP^2XpE_%)jNsH;8k;NQ<Llvbad|Mr{r_CEb9zUzE;F?Kic"
    "=f+6ltLy!HKYsZ^;=8Y3NeEy3w98kO6DLlbIB_~|aityid3|Sj_&D+*jw8d22HP#R9`4_BE{xOK*1K=tpXB##e&4RX"
    "Z$FLGe9e9jK=MOu9>3Z7>wX8gEsJ*Mvpa!z-U>|MJiugQcC<6i?TFh^b^bazN%N8K*Pd7YdVid@PZr0Vyv|d1KOnq?"
    "^D)zn`GKeBxgX$up!z&bP1AhOJAYl8qWu7iV@{3UGwA$vfQc`v>xaE}d_P1ZhEQweuak+|`~-hb&T%X~%l*~gG#vdg"
    "<bDDjkNayk{thQc-Cu$C|NS}f^VV_R64XDs$l}eWg(i(l;zRcPGWvh@)%Vw)NCNAa1mm4x`~V*y#1AxTCsT9WPB<Oi"
    "PD-;c#!lGpE1PX6{{bT`mJ|"
)


def unpacked(text: str) -> bytes:
    """The file."""
    return zlib.decompress(base64.b85decode(text))


LAMBDA = unpacked(_LAMBDA)
PLAIN = unpacked(_PLAIN)
